"""Streaming of generated text: a scheduler steps the requests of several clients together.

Each step of the network is shared by all. A model has one generation thread while there are subscriptions. A new text
joins at the next step and leaves when it ends or its client disconnects, so nobody waits for the longest.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Self

from app.event_log import EventLogger
from app.serving.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ml.data.rows import Row
    from ml.generation.loop import GeneratedSequence
    from ml.inference.predictor import Predictor

    # A piece of text, then the whole output or an error.
    StreamEvent = str | dict[str, Any] | Exception
    Publish = Callable[[StreamEvent], None]

#: Time without a piece of text after which a stream yields None, to keep its connection open.
KEEP_ALIVE_SECONDS: Final = 15.0
MAX_STREAMS: Final = 32
#: Weight of the latest stream in the moving average of their duration.
ADAPTATION: Final = 0.1

_log = EventLogger("plinth.predict")


class PieceWithLogProbs(str):
    """A piece of text, and its tokens as `log_probs`.

    They are those of `logprobs` of the whole output.
    """

    def __new__(cls, text: str, log_probs: list[dict[str, Any]]) -> Self:
        """Make a piece; the text may be empty."""
        piece = super().__new__(cls, text)
        piece.log_probs = log_probs
        return piece

    log_probs: list[dict[str, Any]]


class StreamScheduler:
    """Generates the texts of all subscriptions of one model.

    Everything but the generation itself happens on the event loop.
    """

    def __init__(self, predictor: Predictor, *, max_streams: int = MAX_STREAMS) -> None:
        """Create a scheduler without a thread; it starts with the first subscription."""
        self._predictor = predictor
        self._loop = predictor.generation_loop()
        self._max_streams = max_streams
        self._lock = threading.Lock()
        self._publishers: dict[int, Publish] = {}
        self._joining: list[GeneratedSequence] = []
        self._leaving: list[GeneratedSequence] = []
        self._is_running = self._is_closed = False
        #: Moving average of the duration of a stream.
        self._stream_seconds = 0.0

    def pieces(self, row: Row) -> AsyncIterator[str | dict[str, Any] | None]:
        """Yield text as it is generated, and finally the whole output.

        None is yielded after `KEEP_ALIVE_SECONDS` without text. Generation stops when the iterator is closed or freed,
        even if it was never started. Raises `QueueFull` where `max_streams` texts are being generated.
        """
        if len(self._publishers) >= self._max_streams:
            raise QueueFull(len(self._publishers), self._stream_seconds / self._max_streams)
        return Subscription(self, row).pieces()

    def record_duration(self, *, seconds: float) -> None:
        """Count a stream that has ended."""
        weight = ADAPTATION if self._stream_seconds else 1.0
        self._stream_seconds += weight * (seconds - self._stream_seconds)

    def join(self, row: Row, publish: Publish) -> GeneratedSequence:
        """Start to generate the text of a row; `publish` is called from the generation thread."""
        sequence = self._predictor.start_sequence(row)
        with self._lock:
            self._publishers[id(sequence)] = publish
            self._joining.append(sequence)
            if not self._is_running:
                self._is_running = True
                # No daemon: the process would abort if it ended while the thread is within ONNX Runtime.
                threading.Thread(target=self._generate, name="generate").start()
        return sequence

    def leave(self, sequence: GeneratedSequence) -> None:
        """Stop generating a text that nobody reads any more."""
        with self._lock:
            if self._publishers.pop(id(sequence), None) is not None:
                self._leaving.append(sequence)

    def close(self) -> None:
        """Stop generating: the thread ends after its current step."""
        with self._lock:
            self._is_closed = True

    def _generate(self) -> None:
        while self._update_sequences():
            try:
                pieces = self._loop.step()
            except Exception as error:  # whatever it is, all subscriptions must get it and none may wait forever
                _log.exception("generation failed")
                self._fail(error)
                return
            for sequence, piece in pieces:
                self._publish(sequence, piece)

    def _update_sequences(self) -> bool:
        """Add and remove sequences between two steps.

        Return False when none is left: the thread then ends.
        """
        with self._lock:
            for sequence in self._leaving:
                self._loop.leave(sequence)
            self._loop.join(sequence for sequence in self._joining if id(sequence) in self._publishers)
            self._joining, self._leaving = [], []
            self._is_running = self._loop.is_busy and not self._is_closed
            return self._is_running

    def _publish(self, sequence: GeneratedSequence, piece: str) -> None:
        with self._lock:
            publish = self._publishers.get(id(sequence))
            if publish is not None and sequence.finish_reason is not None:
                del self._publishers[id(sequence)]
        if publish is None:
            return
        log_probs = self._predictor.take_log_probs(sequence)
        if piece or log_probs:
            publish(piece if log_probs is None else PieceWithLogProbs(piece, log_probs))
        if sequence.finish_reason is not None:
            publish(self._predictor.finish_sequence(sequence))

    def _fail(self, error: Exception) -> None:
        with self._lock:
            publishers, self._publishers = self._publishers, {}
            self._loop = self._predictor.generation_loop()
            self._joining, self._leaving, self._is_running = [], [], False
        for publish in publishers.values():
            publish(error)


class Subscription:
    """The text of one client.

    It leaves the scheduler when it is freed, even if no piece was ever read.
    """

    def __init__(self, scheduler: StreamScheduler, row: Row) -> None:
        """Join the scheduler."""
        self._scheduler = scheduler
        self._events: asyncio.Queue[StreamEvent] = asyncio.Queue()
        self._start = time.monotonic()
        sequence = scheduler.join(row, _thread_safe_put(self._events))
        self._leave = weakref.finalize(self, scheduler.leave, sequence)

    async def pieces(self) -> AsyncIterator[str | dict[str, Any] | None]:
        """Yield what `StreamScheduler.pieces` describes."""
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield None
                    continue
                if isinstance(event, Exception):
                    raise event
                yield event
                if not isinstance(event, str):
                    return
        finally:
            self._leave()
            self._scheduler.record_duration(seconds=time.monotonic() - self._start)


def _thread_safe_put(events: asyncio.Queue[StreamEvent]) -> Publish:
    """Return a function that puts an event into the queue from any thread."""
    loop = asyncio.get_running_loop()

    def put(event: StreamEvent) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    return put
