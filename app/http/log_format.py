"""Structured logs: JSON lines off a terminal, one line per event whatever a client put into it, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET = re.compile(r"plinth_[0-9A-Za-z]+_[0-9A-Za-z_-]{20,}|(?i:bearer)\s+\S+")


def configure(level: int = logging.INFO) -> None:
    """Send this process's logs, uvicorn's included, to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    on_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                clean,
                renderer,
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
    logging.getLogger("uvicorn.access").disabled = True


def clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters and hide what looks like a key; a traceback keeps its lines only inside JSON."""
    return {key: _cleaned(value, keep_lines=key == "exception") for key, value in event.items()}


def without_secrets(text: str) -> str:
    """The same without what looks like a key."""
    lower = text.lower()
    # Of a hundred lines none holds one, and to look for these words takes a tenth of the time.
    if "plinth_" not in lower and "bearer" not in lower:
        return text
    return _SECRET.sub("[key]", text)


def _cleaned(value: Any, *, keep_lines: bool) -> Any:
    if not isinstance(value, str):
        return value
    hidden = without_secrets(value)
    return hidden if keep_lines else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", hidden)
