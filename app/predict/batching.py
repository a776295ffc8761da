"""What waits for one model, joined. No window and no size to set: while a batch runs, the next one gathers.

A model whose batches cost little is run on the event loop itself, once a turn of it: whatever arrived in that turn is
the batch. One that costs more has a thread. Everything but the run itself happens on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml.data.rows import Row
    from ml.predictor import Predictor

    Outputs = list[dict[str, Any]]

INLINE_SECONDS: Final = 0.0015
"""So long the event loop may be held up. Handing a batch to a thread and back costs a good part of that."""
INLINE_ROWS: Final = 8
"""Where not even so many fit into that time, a thread gets them all: smaller batches would cost more than it does."""
ADAPTATION: Final = 0.1
"""Share that the last batch has in the estimate of what a row takes."""


class QueueFull(Exception):
    """No more is taken; `retry_seconds` from now there should be room."""

    def __init__(self, waiting: int, retry_seconds: float) -> None:
        super().__init__(f"{waiting} inputs are waiting")
        self.waiting = waiting
        self.retry_seconds = retry_seconds


class TooLate(Exception):
    """The time that a request gave itself was over before its turn came."""


@dataclass(slots=True)
class Work:
    """Rows of one request that are run together."""

    rows: Sequence[Row]
    wanted: str | None
    done: Callable[[Outputs | None, Exception | None], None]
    """Called on the event loop, once, unless `gone` has become true."""
    gone: Callable[[], bool]
    """Whether nobody waits for the answer any more."""
    until: float | None = None
    """Monotonic time after which it need not be begun."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a batch took, by the clock and of the processor."""

    seconds: float
    cpu_seconds: float


@dataclass(slots=True)
class Figures:
    """What `/predict` and `/metrics` show of a queue."""

    batches: int = 0
    rows: int = 0
    refused: int = 0
    dropped: int = 0
    largest_batch: int = 0


class Batcher:
    """The queue before one loaded model."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        most_rows: int,
        most_waiting: int,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        self.predictor = predictor
        self.most_rows = most_rows
        """Of one batch, unless a single request brings more."""
        self.figures = Figures()
        self.waiting = 0
        """Rows in the queue."""
        self._most_waiting = most_waiting
        self._on_batch = on_batch
        self._queue: deque[Work] = deque()
        self._running = False
        self._closed = False
        self._row_seconds = 0.0
        self._row_cpu_seconds: float | None = None
        """Of the processor, as the machine may be busy with something else; None before the first batch."""
        self._thread: ThreadPoolExecutor | None = None

    def submit(self, work: Work) -> None:
        """Take it into the queue; raises `QueueFull` where too much is waiting, or where it would come too late."""
        rows = len(work.rows)
        expected = self.expected_seconds
        late = work.until is not None and time.monotonic() + expected > work.until
        # What is larger than the whole queue may still have it to itself.
        if late or (self.waiting and self.waiting + rows > self._most_waiting):
            self.figures.refused += rows
            raise QueueFull(self.waiting, expected)
        self._queue.append(work)
        self.waiting += rows
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_soon(self._turn)

    @property
    def expected_seconds(self) -> float:
        """How long what waits now will take, at the rate of late."""
        return self.waiting * self._row_seconds

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._running

    def close(self) -> None:
        """Let the thread end when nothing waits any more; whatever is queued, and what still comes, is answered."""
        self._closed = True
        if self.idle:
            self._end_thread()

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def _turn(self) -> None:
        inline = self._rows_inline()
        batch = self._take(inline or self.most_rows)
        if not batch:
            self._running = False
            if self._closed:
                self._end_thread()
            return
        loop = asyncio.get_running_loop()
        if inline:
            self._finish(batch, *self._run(batch))
            # Others get their turn first: what they bring in it makes the next batch.
            loop.call_soon(self._turn)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        future = loop.run_in_executor(self._thread, self._run, batch)
        future.add_done_callback(lambda done: self._resume(batch, *done.result()))

    def _resume(self, batch: list[Work], answers: list[Outputs | Exception], took: Took) -> None:
        self._finish(batch, answers, took)
        self._turn()

    def _rows_inline(self) -> int:
        """How many rows the event loop may run itself; 0 where that is not worth it, or nothing is known yet."""
        if self._row_cpu_seconds is None:
            return 0
        rows = int(INLINE_SECONDS / max(self._row_cpu_seconds, 1e-9))
        return min(rows, self.most_rows) if rows >= INLINE_ROWS else 0

    def _take(self, most_rows: int) -> list[Work]:
        """The next batch: what wants the same, in order, as much as is run at once."""
        batch: list[Work] = []
        rows = 0
        now = time.monotonic()
        while self._queue:
            work = self._queue[0]
            if batch and (rows + len(work.rows) > most_rows or not _alike(work, batch[0])):
                break
            self._queue.popleft()
            self.waiting -= len(work.rows)
            if work.gone():
                self.figures.dropped += len(work.rows)
            elif work.until is not None and now > work.until:
                self.figures.dropped += len(work.rows)
                work.done(None, TooLate())
            else:
                batch.append(work)
                rows += len(work.rows)
        return batch

    def _run(self, batch: list[Work]) -> tuple[list[Outputs | Exception], Took]:
        """Outputs of each work, or why there are none; and what it took. May run in the thread."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        answers = self._answers(batch)
        return answers, Took(time.perf_counter() - began, time.thread_time() - cpu_began)

    def _answers(self, batch: list[Work]) -> list[Outputs | Exception]:
        answers: list[Outputs | Exception] = []
        try:
            outputs = self.predictor.answer([row for work in batch for row in work.rows], wanted=batch[0].wanted)
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One of them may be at fault; the others must not pay for it.
            for work in batch:
                answers += self._answers([work])
            return answers
        start = 0
        for work in batch:
            answers.append(outputs[start : start + len(work.rows)])
            start += len(work.rows)
        return answers

    def _finish(self, batch: list[Work], answers: list[Outputs | Exception], took: Took) -> None:
        self._note(sum(len(work.rows) for work in batch), took)
        for work, answer in zip(batch, answers, strict=True):
            if work.gone():
                continue
            if isinstance(answer, Exception):
                work.done(None, answer)
            else:
                work.done(answer, None)

    def _note(self, rows: int, took: Took) -> None:
        figures = self.figures
        figures.batches += 1
        figures.rows += rows
        figures.largest_batch = max(figures.largest_batch, rows)
        known = self._row_cpu_seconds
        share = 1.0 if known is None else ADAPTATION
        self._row_cpu_seconds = (known or 0.0) + share * (took.cpu_seconds / rows - (known or 0.0))
        self._row_seconds += share * (took.seconds / rows - self._row_seconds)
        if self._on_batch is not None:
            self._on_batch(rows, took.seconds)


def _alike(one: Work, other: Work) -> bool:
    return one.wanted == other.wanted and one.rows[0].keys() == other.rows[0].keys()
