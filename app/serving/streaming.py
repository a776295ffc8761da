"""Answers that come piece by piece: what several clients are being told is written together, one step for all.

A model that writes has one thread while anybody listens. Whoever comes joins at the next step, whoever is answered or
has gone leaves at it, so nobody waits for the longest.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from app.http.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ml.data.rows import Row
    from ml.generation.loop import GeneratedSequence
    from ml.inference.predictor import Predictor

    StreamEvent = str | dict[str, Any] | Exception
    """A piece of text; at last the whole answer, or what went wrong."""
    Tell = Callable[[StreamEvent], None]

MEDIA_TYPE: Final = "text/event-stream"
COMMENT_SECONDS: Final = 15.0
MOST_AT_ONCE: Final = 32

ADAPTATION: Final = 0.1
"""Share that the last text has in the estimate of what one takes."""

_log = structlog.get_logger("plinth.predict")


class StreamScheduler:
    """Writes with one model for all who listen. Everything but the writing itself happens on the event loop."""

    def __init__(self, predictor: Predictor, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._predictor = predictor
        self._writing = predictor.writing()
        self._most = most_at_once
        self._changes = threading.Lock()
        self._tell: dict[int, Tell] = {}
        self._coming: list[GeneratedSequence] = []
        self._going: list[GeneratedSequence] = []
        self._working = False
        self._seconds = 0.0
        """That a text was listened to, of late."""

    def pieces(self, row: Row) -> AsyncIterator[str | dict[str, Any] | None]:
        """Text as it is written, None where nothing came for a while, and last the whole answer.

        Whoever stops listening, or never begins to, stops the writing. Raises `ProblemError` 429 where too many listen.
        """
        if len(self._tell) >= self._most:
            seconds = max(1, math.ceil(self._seconds / self._most))
            detail = f"{len(self._tell)} texts are being written by this model. Try again in {seconds} s."
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS, "queue_full", detail, headers={"Retry-After": str(seconds)}
            )
        return Subscription(self, row).pieces()

    def note(self, *, seconds: float) -> None:
        """So long somebody listened."""
        share = ADAPTATION if self._seconds else 1.0
        self._seconds += share * (seconds - self._seconds)

    def join(self, row: Row, tell: Tell) -> GeneratedSequence:
        """One more text is written."""
        one = self._predictor.begin(row)
        with self._changes:
            self._tell[id(one)] = tell
            self._coming.append(one)
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="scribe", daemon=True).start()
        return one

    def leave(self, one: GeneratedSequence) -> None:
        """Nobody listens to that any more."""
        with self._changes:
            if self._tell.pop(id(one), None) is not None:
                self._going.append(one)

    def _work(self) -> None:
        while self._changed():
            try:
                pieces = self._writing.step()
            except Exception as error:  # whatever it is, all who listen must hear of it and none may wait forever
                _log.exception("writing failed")
                self._fail(error)
                return
            for one, piece in pieces:
                self._pass_on(one, piece)

    def _changed(self) -> bool:
        """Take in who came, let go who left; False once there is nobody, and then the thread ends."""
        with self._changes:
            for one in self._going:
                self._writing.leave(one)
            self._writing.join(one for one in self._coming if id(one) in self._tell)
            self._coming, self._going = [], []
            self._working = self._writing.busy
            return self._working

    def _pass_on(self, one: GeneratedSequence, piece: str) -> None:
        with self._changes:
            tell = self._tell.get(id(one))
            if tell is not None and one.reason is not None:
                del self._tell[id(one)]
        if tell is None:
            return
        if piece:
            tell(piece)
        if one.reason is not None:
            tell(self._predictor.ended(one))

    def _fail(self, error: Exception) -> None:
        with self._changes:
            listening, self._tell = self._tell, {}
            self._writing = self._predictor.writing()
            self._coming, self._going, self._working = [], [], False
        for tell in listening.values():
            tell(error)


class Subscription:
    """One who is told a text. It leaves when it is no longer needed, even if nobody ever asked it for a piece."""

    def __init__(self, scribe: StreamScheduler, row: Row) -> None:
        self._scribe = scribe
        self._told: asyncio.Queue[StreamEvent] = asyncio.Queue()
        self._began = time.monotonic()
        one = scribe.join(row, _teller(self._told))
        self._leave = weakref.finalize(self, scribe.leave, one)

    async def pieces(self) -> AsyncIterator[str | dict[str, Any] | None]:
        """See `StreamScheduler.pieces`."""
        try:
            while True:
                try:
                    each = await asyncio.wait_for(self._told.get(), COMMENT_SECONDS)
                except TimeoutError:
                    yield None
                    continue
                if isinstance(each, Exception):
                    raise each
                yield each
                if not isinstance(each, str):
                    return
        finally:
            self._leave()
            self._scribe.note(seconds=time.monotonic() - self._began)


def _teller(told: asyncio.Queue[StreamEvent]) -> Tell:
    """What may be called in any thread."""
    loop = asyncio.get_running_loop()

    def tell(each: StreamEvent) -> None:
        loop.call_soon_threadsafe(told.put_nowait, each)

    return tell


async def events(
    pieces: AsyncIterator[str | dict[str, Any] | None], *, whole: Callable[[dict[str, Any]], dict[str, Any]]
) -> AsyncIterator[bytes]:
    """Server-sent events: `piece` for each piece of text, then `end` with the whole answer, as JSON would have told it.

    After a failure the last event is `error`, and no `end` comes.
    """
    number = 0
    yield b": ok\n\n"
    try:
        async for each in pieces:
            if each is None:
                yield b": still here\n\n"
                continue
            number += 1
            kind, data = ("piece", {"text": each}) if isinstance(each, str) else ("end", whole(each))
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (number, kind.encode(), orjson.dumps(data))
    # The status has long been sent: the stream itself must say that it broke off.
    except asyncio.CancelledError:  # the process ends, or the client has gone and reads nothing more
        yield _broken_off(number, 503, "stopped", "The service was stopped before the text was written; ask again.")
    except Exception:
        _log.exception("a stream broke off")
        yield _broken_off(number, 500, "internal_error", "Writing failed; ask again.")


def _broken_off(number: int, status: int, code: str, detail: str) -> bytes:
    told = orjson.dumps({"status": status, "code": code, "detail": detail})
    return b"id: %d\nevent: error\ndata: %b\n\n" % (number + 1, told)
