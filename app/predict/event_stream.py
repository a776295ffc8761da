"""Server-sent events of a text that is being generated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.event_log import EventLogger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MEDIA_TYPE: Final = "text/event-stream"

_log = EventLogger("plinth.predict")


async def to_events(
    pieces: AsyncIterator[str | dict[str, Any] | None], *, to_response: Callable[[dict[str, Any]], dict[str, Any]]
) -> AsyncIterator[bytes]:
    """Encode a stream of text as server-sent events.

    Each piece of text is an event `piece`; the last event is `end`, with the response that JSON would have had. After a
    failure the last event is `error`, and there is no `end`.
    """
    number = 0
    yield b": ok\n\n"
    try:
        async for piece in pieces:
            if piece is None:
                yield b": keep-alive\n\n"
                continue
            number += 1
            name, data = ("piece", {"text": piece}) if isinstance(piece, str) else ("end", to_response(piece))
            yield _event(number, name, data)
    # The status has been sent: the stream itself must report that it is incomplete.
    except asyncio.CancelledError:  # the process ends, or the client has disconnected and reads nothing more
        yield _error(number, 503, "stopped", "The service stopped before the text was complete. Retry.")
    except Exception:
        _log.exception("stream failed")
        yield _error(number, 500, "internal_error", "Generation failed. Retry.")


def _error(number: int, status: int, code: str, detail: str) -> bytes:
    return _event(number + 1, "error", {"status": status, "code": code, "detail": detail})


def _event(number: int, name: str, data: dict[str, Any]) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), orjson.dumps(data))
