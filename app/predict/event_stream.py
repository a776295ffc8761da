"""Server-sent events of a text that is being generated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from app.event_log import EventLogger
from app.http.errors import ProblemError
from app.serving.streaming import PieceWithLogProbs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

MEDIA_TYPE: Final = "text/event-stream"
STREAM_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

_log = EventLogger("plinth.predict")


class EventFormat(Protocol):
    """The events of one stream, as bytes."""

    def start(self) -> bytes:
        """Return what is sent at once."""

    def piece(self, text: str) -> bytes:
        """Return the event of a piece of text."""

    def end(self, output: dict[str, Any]) -> bytes:
        """Return the last event, from the whole output."""

    def error(self, problem: ProblemError) -> bytes:
        """Return the last event of a stream that failed."""


class NumberedEvents:
    """Events `piece`, and at last `end` or `error`.

    `end` has the response that JSON would have had.
    """

    def __init__(self, to_response: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """`to_response` makes the response of the whole output."""
        self._to_response = to_response
        self._number = 0

    def start(self) -> bytes:
        """Return a comment."""
        return b": ok\n\n"

    def piece(self, text: str) -> bytes:
        """Return an event `piece`."""
        log_probs = {"logprobs": text.log_probs} if isinstance(text, PieceWithLogProbs) else {}
        return self._event("piece", {"text": text, **log_probs})

    def end(self, output: dict[str, Any]) -> bytes:
        """Return the event `end`."""
        return self._event("end", self._to_response(output))

    def error(self, problem: ProblemError) -> bytes:
        """Return the event `error`."""
        data = {"status": problem.status_code, "code": problem.code, "detail": problem.detail}
        return self._event("error", data)

    def _event(self, name: str, data: dict[str, Any]) -> bytes:
        self._number += 1
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, name.encode(), orjson.dumps(data))


async def to_events(pieces: AsyncIterator[str | dict[str, Any] | None], events: EventFormat) -> AsyncIterator[bytes]:
    """Encode a stream of text as server-sent events.

    After a failure, the last one is an error.
    """
    yield events.start()
    try:
        async for piece in pieces:
            if piece is None:
                yield b": keep-alive\n\n"
            else:
                yield events.piece(piece) if isinstance(piece, str) else events.end(piece)
    # The status has been sent: the stream itself must report that it is incomplete.
    except asyncio.CancelledError:  # the process ends, or the client has disconnected and reads nothing more
        detail = "The service stopped before the text was complete. Retry."
        yield events.error(ProblemError(503, "stopped", detail))
    except Exception:
        _log.exception("stream failed")
        yield events.error(ProblemError(500, "internal_error", "Generation failed. Retry."))
