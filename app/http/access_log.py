"""One line for each request. Written by hand and in bundles where they are JSON: through the logging machinery a line
costs as much as all else that a small prediction takes.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from app.http.log_format import without_secrets

FLUSH_SECONDS: Final = 0.1
LOGGER: Final = "plinth.access"

_log = structlog.get_logger(LOGGER)
_lines: list[bytes] = []


def request(*, method: str, path: str, status: int, seconds: float, key: str | None, request_id: str) -> None:
    """Write down a request that was answered; never a secret, and nothing that could end a line early."""
    event: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": status,
        "seconds": round(seconds, 4),
        "key": key,
        "request_id": request_id,
    }
    if not _lines:
        loop = None if sys.stderr.isatty() else _loop()
        if loop is None:
            _log.info("request", **event)
            return
        loop.call_later(FLUSH_SECONDS, flush)
    event |= {"event": "request", "level": "info", "logger": LOGGER, "timestamp": datetime.now(UTC)}
    _lines.append(orjson.dumps(event, option=orjson.OPT_UTC_Z))


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def flush() -> None:
    """Write what was gathered."""
    if _lines:
        # A path may hold what looks like a key; JSON itself escapes what could end a line.
        sys.stderr.write(without_secrets(b"\n".join([*_lines, b""]).decode()))
        sys.stderr.flush()
        _lines.clear()
