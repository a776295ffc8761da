"""Access log: one line per request.

JSON lines are encoded here and written in batches, because the logging machinery costs as much per line as the rest of
a small prediction.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.event_log import EventLogger, redact_keys

#: Longest time that a line waits for its batch.
FLUSH_SECONDS: Final = 0.1
LOGGER: Final = "plinth.access"

_log = EventLogger(LOGGER)
#: Lines that wait for their batch. One buffer: a thousand small objects touch more memory than they are worth.
_lines: Final = bytearray()


def request(*, method: str, path: str, status: int, seconds: float, key: str | None, request_id: str) -> None:
    """Log a request that has been answered; `key` is the id of its API key."""
    event: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": status,
        "seconds": round(seconds, 4),
        "key": key,
        "request_id": request_id,
    }
    if not _lines:
        loop = None if sys.stderr.isatty() else _running_loop()
        if loop is None:
            _log.info("request", **event)
            return
        loop.call_later(FLUSH_SECONDS, flush)
    event["event"], event["level"], event["logger"] = "request", "info", LOGGER
    event["timestamp"] = datetime.now(UTC)
    _lines.extend(orjson.dumps(event, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def flush() -> None:
    """Write the batch of lines."""
    if _lines:
        # A path may contain a key; line breaks in it are escaped by JSON.
        sys.stderr.write(redact_keys(_lines.decode()))
        sys.stderr.flush()
        _lines.clear()
