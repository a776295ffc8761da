"""Dynamic batching: a batch queue for each model runs waiting requests together.

While one batch runs, the next one gathers; there is no window or size to set. Models that differ only in their heads
share a queue: their rows are one batch of the trunk they have in common.

A model whose batches are cheap runs on the event loop itself, once per iteration: the batch is what arrived in that
iteration. Those of a more expensive model run in a thread of the pool. Everything but the run itself happens on the
event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from app.serving.errors import DeadlineExceeded, QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from ml.data.rows import Row
    from ml.inference.predictor import Predictor

    Outputs = list[dict[str, Any]]

#: Longest time that a batch may block the event loop; handing a batch to a thread and back costs a good part of it.
MAX_INLINE_SECONDS: Final = 0.0015
#: A model that runs fewer rows than this in that time uses a thread: smaller batches would cost more than the thread.
MIN_INLINE_ROWS: Final = 8
#: Weight of the latest batch in the moving average of the time per row.
ADAPTATION: Final = 0.1


@dataclass(slots=True)
class PendingRequest:
    """Rows of one request that are run together."""

    rows: Sequence[Row]
    #: The requested output: `embedding`, or None for what the task predicts.
    output: str | None
    #: Called once on the event loop with the outputs or an error, unless `is_abandoned` has become true.
    on_done: Callable[[Outputs | None, Exception | None], None]
    #: Whether nobody waits for the outputs any more.
    is_abandoned: Callable[[], bool]
    #: Monotonic time after which it is not run any more.
    deadline: float | None = None
    #: Monotonic times at which it entered and left the queue.
    queued_at: float = 0.0
    dequeued_at: float = 0.0

    @property
    def queue_seconds(self) -> float:
        """Time in the queue; 0 before it has left it."""
        return max(self.dequeued_at - self.queued_at, 0.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """Duration of a batch, by the clock and of the processor."""

    seconds: float
    cpu_seconds: float


@dataclass(slots=True)
class BatchStats:
    """Counters of one queue, as `/predict` shows them.

    All but `batches` count rows.
    """

    batches: int = 0
    rows: int = 0
    refused: int = 0
    dropped: int = 0
    largest_batch: int = 0


class Batcher:
    """The requests of one loaded model, in its own or a shared queue."""

    def __init__(
        self,
        predictor: Predictor,
        queue: SharedQueue,
        *,
        max_waiting: int,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """Use `queue` for the requests.

        `max_waiting` limits the rows in the queue; `on_batch` is called with the rows and seconds of each batch.
        """
        self.predictor = predictor
        self.queue = queue
        self.stats = BatchStats()
        #: Rows in the queue.
        self.waiting = 0
        self._max_waiting = max_waiting
        self._on_batch = on_batch

    @property
    def max_rows(self) -> int:
        """Rows of one batch, unless a single request has more."""
        return self.queue.max_rows

    def submit(self, request: PendingRequest) -> None:
        """Append a request to the queue.

        Raises `QueueFull` where the queue is full or the request could not be run before its deadline, and
        `DeadlineExceeded` where the deadline has already passed.
        """
        rows = len(request.rows)
        queue = self.queue
        expected_seconds = queue.expected_seconds
        remaining_seconds = math.inf if request.deadline is None else request.deadline - time.monotonic()
        if remaining_seconds < 0:
            self.stats.dropped += rows
            raise DeadlineExceeded
        is_late = expected_seconds > remaining_seconds
        # A request that is larger than the whole queue is accepted where the queue is empty.
        if is_late or (self.waiting and self.waiting + rows > self._max_waiting):
            self.stats.refused += rows
            raise QueueFull(self.waiting, expected_seconds)
        self.waiting += rows
        queue.append(self, request)

    @property
    def expected_seconds(self) -> float:
        """Estimated time until the queue is empty, at the recent speed."""
        return self.queue.expected_seconds

    @property
    def is_idle(self) -> bool:
        """True while nothing waits and nothing runs."""
        return self.queue.is_idle

    def on_dequeue(self, request: PendingRequest) -> None:
        """Count a request that left the queue, to be run or dropped."""
        self.waiting -= len(request.rows)

    def record_batch(self, rows: int, *, seconds: float) -> None:
        """Count a batch that had `rows` rows of this model."""
        stats = self.stats
        stats.batches += 1
        stats.rows += rows
        stats.largest_batch = max(stats.largest_batch, rows)
        if self._on_batch is not None:
            self._on_batch(rows, seconds)


QueueEntry = tuple[Batcher, PendingRequest]


class SharedQueue:
    """A first-in, first-out queue of one model, or of several models that share a trunk."""

    def __init__(self, *, max_rows: int, executor: Executor) -> None:
        """`max_rows` limits the rows of one batch; batches that are not cheap run in `executor`."""
        self.max_rows = max_rows
        self._executor = executor
        self._queue: deque[QueueEntry] = deque()
        self._waiting = 0
        self._is_running = False
        self._row_seconds = 0.0
        #: Processor time per row, as the machine may be busy with something else; None before the first batch.
        self._row_cpu_seconds: float | None = None

    def append(self, batcher: Batcher, request: PendingRequest) -> None:
        """Append a request, and run the queue if it was idle."""
        request.queued_at = time.monotonic()
        self._queue.append((batcher, request))
        self._waiting += len(request.rows)
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._run_next)

    @property
    def expected_seconds(self) -> float:
        """Estimated time until the queue is empty, at the recent speed."""
        return self._waiting * self._row_seconds

    @property
    def is_idle(self) -> bool:
        """True while nothing waits and nothing runs."""
        return not self._is_running

    def _run_next(self) -> None:
        inline_rows = self._inline_rows()
        batch = self._next_batch(inline_rows or self.max_rows)
        if not batch:
            self._is_running = False
            return
        loop = asyncio.get_running_loop()
        if inline_rows:
            self._finish(batch, *self._run(batch))
            # Other callbacks of the event loop run first: the requests they bring make the next batch.
            loop.call_soon(self._run_next)
            return
        future = loop.run_in_executor(self._executor, self._run, batch)
        future.add_done_callback(lambda done: self._resume(batch, *done.result()))

    def _resume(self, batch: list[QueueEntry], results: list[Outputs | Exception], timing: Timing) -> None:
        self._finish(batch, results, timing)
        self._run_next()

    def _inline_rows(self) -> int:
        """Return how many rows the event loop may run itself.

        0 before the first batch, and for expensive models.
        """
        if self._row_cpu_seconds is None:
            return 0
        rows = int(MAX_INLINE_SECONDS / max(self._row_cpu_seconds, 1e-9))
        return min(rows, self.max_rows) if rows >= MIN_INLINE_ROWS else 0

    def _next_batch(self, max_rows: int) -> list[QueueEntry]:
        """Remove the next batch of compatible requests from the queue, in order."""
        batch: list[QueueEntry] = []
        rows = 0
        now = time.monotonic()
        while self._queue:
            batcher, request = self._queue[0]
            if batch and (rows + len(request.rows) > max_rows or not _are_compatible(request, batch[0][1])):
                break
            self._queue.popleft()
            self._waiting -= len(request.rows)
            batcher.on_dequeue(request)
            request.dequeued_at = now
            if request.is_abandoned():
                batcher.stats.dropped += len(request.rows)
            elif request.deadline is not None and now > request.deadline:
                batcher.stats.dropped += len(request.rows)
                request.on_done(None, DeadlineExceeded())
            else:
                batch.append((batcher, request))
                rows += len(request.rows)
        return batch

    def _run(self, batch: list[QueueEntry]) -> tuple[list[Outputs | Exception], Timing]:
        """Return the outputs or the error of each request, and the duration.

        May run in the thread.
        """
        start, cpu_start = time.perf_counter(), time.thread_time()
        results = self._predict(batch)
        return results, Timing(time.perf_counter() - start, time.thread_time() - cpu_start)

    def _predict(self, batch: list[QueueEntry]) -> list[Outputs | Exception]:
        try:
            return [*_predict_together(batch)]
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One request may be at fault; the others must not fail with it.
            return [result for entry in batch for result in self._predict([entry])]

    def _finish(self, batch: list[QueueEntry], results: list[Outputs | Exception], timing: Timing) -> None:
        self._record(batch, timing)
        for (_, request), result in zip(batch, results, strict=True):
            if request.is_abandoned():
                continue
            if isinstance(result, Exception):
                request.on_done(None, result)
            else:
                request.on_done(result, None)

    def _record(self, batch: list[QueueEntry], timing: Timing) -> None:
        rows: dict[Batcher, int] = {}
        for batcher, request in batch:
            rows[batcher] = rows.get(batcher, 0) + len(request.rows)
        total = sum(rows.values())
        average = self._row_cpu_seconds
        weight = 1.0 if average is None else ADAPTATION
        self._row_cpu_seconds = (average or 0.0) + weight * (timing.cpu_seconds / total - (average or 0.0))
        self._row_seconds += weight * (timing.seconds / total - self._row_seconds)
        for batcher, own_rows in rows.items():
            batcher.record_batch(own_rows, seconds=timing.seconds)


def _predict_together(batch: list[QueueEntry]) -> list[Outputs]:
    """Return the outputs of each request of a batch.

    The requests are for one model, or for several that share a trunk.
    """
    output = batch[0][1].output
    rows: dict[Batcher, list[Row]] = {}
    for batcher, request in batch:
        rows.setdefault(batcher, []).extend(request.rows)
    predictor = batch[0][0].predictor
    if len(rows) == 1:
        outputs = [predictor.answer(own_rows, output=output) for own_rows in rows.values()]
    else:
        jobs = [(batcher.predictor, own_rows) for batcher, own_rows in rows.items()]
        outputs = predictor.answer_together(jobs, output=output)
    remaining = {batcher: iter(own_outputs) for batcher, own_outputs in zip(rows, outputs, strict=True)}
    return [list(islice(remaining[batcher], len(request.rows))) for batcher, request in batch]


def _are_compatible(first: PendingRequest, second: PendingRequest) -> bool:
    return first.output == second.output and first.rows[0].keys() == second.rows[0].keys()
