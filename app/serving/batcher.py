"""What waits for one model, joined. No window and no size to set: while a batch runs, the next one gathers.

Models that are told apart by their heads alone wait in one line: their rows are one batch of the trunk they have.

A model whose batches cost little is run on the event loop itself, once a turn of it: whatever arrived in that turn is
the batch. One that costs more has a thread. Everything but the run itself happens on the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml.data.rows import Row
    from ml.inference.predictor import Predictor

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


class DeadlineExceeded(Exception):
    """The time that a request gave itself was over before its turn came."""


@dataclass(slots=True)
class PendingRequest:
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
class Timing:
    """What a batch took, by the clock and of the processor."""

    seconds: float
    cpu_seconds: float


@dataclass(slots=True)
class BatchStats:
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
        line: SharedQueue,
        *,
        most_waiting: int,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """`line` is its own, or that of models alike."""
        self.predictor = predictor
        self.line = line
        self.figures = BatchStats()
        self.waiting = 0
        """Rows in the queue."""
        self._most_waiting = most_waiting
        self._on_batch = on_batch
        line.models += 1

    @property
    def most_rows(self) -> int:
        """Of one batch, unless a single request brings more."""
        return self.line.most_rows

    def submit(self, work: PendingRequest) -> None:
        """Take it into the queue; raises `QueueFull` where too much is waiting, or where it would come too late.

        `DeadlineExceeded` where it is so already.
        """
        rows = len(work.rows)
        line = self.line
        expected = line.expected_seconds
        left = math.inf if work.until is None else work.until - time.monotonic()
        if left < 0:
            self.figures.dropped += rows
            raise DeadlineExceeded
        late = expected > left
        # What is larger than the whole queue may still have it to itself.
        if late or (self.waiting and self.waiting + rows > self._most_waiting):
            self.figures.refused += rows
            raise QueueFull(self.waiting, expected)
        self.waiting += rows
        line.append(self, work)

    @property
    def expected_seconds(self) -> float:
        """How long what waits now will take, at the rate of late."""
        return self.line.expected_seconds

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return self.line.idle

    def close(self) -> None:
        """Nothing more is expected; whatever is queued is still answered, and so is what comes after all."""
        self.line.leave()

    def leaves(self, work: PendingRequest) -> None:
        """It waits no longer: it is run, or need not be."""
        self.waiting -= len(work.rows)

    def note(self, rows: int, *, seconds: float) -> None:
        """A batch has been run, with so many rows of this model."""
        figures = self.figures
        figures.batches += 1
        figures.rows += rows
        figures.largest_batch = max(figures.largest_batch, rows)
        if self._on_batch is not None:
            self._on_batch(rows, seconds)


Waiting = tuple[Batcher, PendingRequest]


class SharedQueue:
    """What is run by one hand, in the order in which it came: the queue of one model, or those of models alike."""

    def __init__(self, *, most_rows: int) -> None:
        self.most_rows = most_rows
        self.models = 0
        """Whose queues are part of it."""
        self._queue: deque[Waiting] = deque()
        self._waiting = 0
        self._running = False
        self._row_seconds = 0.0
        self._row_cpu_seconds: float | None = None
        """Of the processor, as the machine may be busy with something else; None before the first batch."""
        self._thread: ThreadPoolExecutor | None = None

    def append(self, batcher: Batcher, work: PendingRequest) -> None:
        """Let it wait."""
        self._queue.append((batcher, work))
        self._waiting += len(work.rows)
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_soon(self._turn)

    @property
    def expected_seconds(self) -> float:
        """How long what waits now will take, at the rate of late."""
        return self._waiting * self._row_seconds

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._running

    def leave(self) -> None:
        """One model less; the thread ends with the last."""
        self.models -= 1
        if not self._running:
            self._rest()

    def _turn(self) -> None:
        inline = self._rows_inline()
        batch = self._take(inline or self.most_rows)
        if not batch:
            self._running = False
            self._rest()
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

    def _rest(self) -> None:
        if self.models <= 0 and self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def _resume(self, batch: list[Waiting], answers: list[Outputs | Exception], took: Timing) -> None:
        self._finish(batch, answers, took)
        self._turn()

    def _rows_inline(self) -> int:
        """How many rows the event loop may run itself; 0 where that is not worth it, or nothing is known yet."""
        if self._row_cpu_seconds is None:
            return 0
        rows = int(INLINE_SECONDS / max(self._row_cpu_seconds, 1e-9))
        return min(rows, self.most_rows) if rows >= INLINE_ROWS else 0

    def _take(self, most_rows: int) -> list[Waiting]:
        """The next batch: what wants the same, in order, as much as is run at once."""
        batch: list[Waiting] = []
        rows = 0
        now = time.monotonic()
        while self._queue:
            batcher, work = self._queue[0]
            if batch and (rows + len(work.rows) > most_rows or not _alike(work, batch[0][1])):
                break
            self._queue.popleft()
            self._waiting -= len(work.rows)
            batcher.leaves(work)
            if work.gone():
                batcher.figures.dropped += len(work.rows)
            elif work.until is not None and now > work.until:
                batcher.figures.dropped += len(work.rows)
                work.done(None, DeadlineExceeded())
            else:
                batch.append((batcher, work))
                rows += len(work.rows)
        return batch

    def _run(self, batch: list[Waiting]) -> tuple[list[Outputs | Exception], Timing]:
        """Outputs of each work, or why there are none; and what it took. May run in the thread."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        answers = self._answers(batch)
        return answers, Timing(time.perf_counter() - began, time.thread_time() - cpu_began)

    def _answers(self, batch: list[Waiting]) -> list[Outputs | Exception]:
        try:
            return [*_answered(batch)]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One of them may be at fault; the others must not pay for it.
            return [answer for each in batch for answer in self._answers([each])]

    def _finish(self, batch: list[Waiting], answers: list[Outputs | Exception], took: Timing) -> None:
        self._note(batch, took)
        for (_, work), answer in zip(batch, answers, strict=True):
            if work.gone():
                continue
            if isinstance(answer, Exception):
                work.done(None, answer)
            else:
                work.done(answer, None)

    def _note(self, batch: list[Waiting], took: Timing) -> None:
        rows: dict[Batcher, int] = {}
        for batcher, work in batch:
            rows[batcher] = rows.get(batcher, 0) + len(work.rows)
        total = sum(rows.values())
        known = self._row_cpu_seconds
        share = 1.0 if known is None else ADAPTATION
        self._row_cpu_seconds = (known or 0.0) + share * (took.cpu_seconds / total - (known or 0.0))
        self._row_seconds += share * (took.seconds / total - self._row_seconds)
        for batcher, own in rows.items():
            batcher.note(own, seconds=took.seconds)


def _answered(batch: list[Waiting]) -> list[Outputs]:
    """The outputs of each work: of one model, or of several that are alike."""
    wanted = batch[0][1].wanted
    rows: dict[Batcher, list[Row]] = {}
    for batcher, work in batch:
        rows.setdefault(batcher, []).extend(work.rows)
    asked = [(batcher.predictor, own) for batcher, own in rows.items()]
    predictor = batch[0][0].predictor
    if len(asked) == 1:
        told = [predictor.answer(asked[0][1], wanted=wanted)]
    else:
        told = predictor.answer_together(asked, wanted=wanted)
    answers = {batcher: iter(each) for batcher, each in zip(rows, told, strict=True)}
    return [list(islice(answers[batcher], len(work.rows))) for batcher, work in batch]


def _alike(one: PendingRequest, other: PendingRequest) -> bool:
    return one.wanted == other.wanted and one.rows[0].keys() == other.rows[0].keys()
