"""Structured logs: one event with named fields per line.

Lines are JSON unless stderr is a terminal. Written on the standard library's `logging`, because `structlog` imports
`rich` and `pygments` wherever they are installed.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET = re.compile(r"plinth_[0-9A-Za-z]+_[0-9A-Za-z_-]{20,}|(?i:bearer)\s+\S+")
#: Name of the attribute of a log record that holds the fields of the event.
_FIELDS: Final = "event_fields"

_context: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default=MappingProxyType({}))


class EventLogger:
    """Logs an event by its name, with fields as keyword arguments."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: Any) -> None:
        """Log a normal event."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that someone should look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Log a failure, with the traceback of `exc_info` if there is one."""
        self._log(logging.ERROR, event, fields, exc_info=exc_info)

    def exception(self, event: str, **fields: Any) -> None:
        """Log a failure with the traceback of the current exception."""
        self._log(logging.ERROR, event, fields, exc_info=sys.exception())

    def _log(self, level: int, event: str, fields: dict[str, Any], exc_info: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            extra = {_FIELDS: {**_context.get(), **fields}}
            # As an argument, so that a percent sign in the event is text.
            self._logger.log(level, "%s", event, exc_info=exc_info, extra=extra)


@contextmanager
def bind_fields(**fields: Any) -> Iterator[None]:
    """Add fields to every event of this context and of tasks started in it."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def current_request_id() -> str:
    """Return the id of the request of this context, or ""."""
    return str(_context.get().get("request_id", ""))


def configure(level: int = logging.INFO) -> None:
    """Send the logs of this process, including uvicorn's, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_TextFormatter() if sys.stderr.isatty() else _JSONFormatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
    logging.getLogger("uvicorn.access").disabled = True


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(to_event(record), default=repr)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = to_event(record)
        traceback = event.pop("exception", None)
        head = f"{event.pop('timestamp')} [{event.pop('level')}] {event.pop('logger')}: {event.pop('event')}"
        line = " ".join([head, *(f"{name}={value}" for name, value in event.items())])
        return line if traceback is None else f"{line}\n{traceback}"


def to_event(record: logging.LogRecord) -> dict[str, Any]:
    """Convert a log record to an event.

    Control characters of its texts are escaped, and API keys are replaced by `[key]`. Only the traceback keeps its
    line breaks, which JSON escapes.
    """
    event: dict[str, Any] = {
        **getattr(record, _FIELDS, {}),
        "event": record.getMessage(),
        "level": record.levelname.lower(),
        "logger": record.name,
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
    }
    if record.exc_info and record.exc_info[1] is not None:
        event["exception"] = logging.Formatter().formatException(record.exc_info)
    return {name: _clean(value, keep_lines=name == "exception") for name, value in event.items()}


def redact_keys(text: str) -> str:
    """Replace everything that looks like an API key by `[key]`."""
    lower = text.lower()
    # A look for these two words costs a tenth of the pattern, and hardly any text has one.
    if "plinth_" not in lower and "bearer" not in lower:
        return text
    return _SECRET.sub("[key]", text)


def _clean(value: Any, *, keep_lines: bool) -> Any:
    if not isinstance(value, str):
        return value
    redacted = redact_keys(value)
    return redacted if keep_lines else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", redacted)
