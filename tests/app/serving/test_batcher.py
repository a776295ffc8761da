"""Queues in front of models that record their batches."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from app.serving.batcher import Batcher, PendingRequest, SharedQueue
from app.serving.errors import DeadlineExceeded, QueueFull

THREADS: Final = 4
EXECUTOR: Final = ThreadPoolExecutor(THREADS)


class Slow:
    """A slow model that records its batches and fails on the value `bad`."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.batches: list[list[Any]] = []

    def answer(self, rows: list[dict[str, Any]], *, output: str | None) -> list[dict[str, Any]]:
        self.batches.append([row["value"] for row in rows])
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass  # uses the processor, as a network does
        if any(row["value"] == "bad" for row in rows):
            raise ValueError("bad")
        return [{"value": row["value"], "output": output} for row in rows]


class Call:
    """One request."""

    def __init__(self, *values: Any, output: str | None = None, deadline: float | None = None) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.has_left = False
        self.request = PendingRequest(
            [{"value": value} for value in values], output, self._finish, lambda: self.has_left, deadline
        )

    def _finish(self, outputs: Any, error: Exception | None) -> None:
        self.future.set_result(outputs if error is None else error)


def batcher(model: Any, *, max_waiting: int = 100) -> Batcher:
    return Batcher(model, SharedQueue(max_rows=8, executor=EXECUTOR), max_waiting=max_waiting)


def test_requests_that_arrive_during_a_batch_are_the_next_batch():
    async def run() -> None:
        model = Slow()
        queue = batcher(model)
        first = Call(0)
        queue.submit(first.request)
        await asyncio.sleep(model.seconds / 4)
        others = [Call(number) for number in range(1, 6)]
        for call in others:
            queue.submit(call.request)
        answers = [await call.future for call in (first, *others)]
        assert [answer[0]["value"] for answer in answers] == [0, 1, 2, 3, 4, 5]
        assert model.batches == [[0], [1, 2, 3, 4, 5]]
        assert queue.is_idle

    asyncio.run(run())


def test_a_cheap_model_runs_on_the_event_loop_once_per_iteration():
    async def run() -> None:
        model = Slow(seconds=0)
        queue = batcher(model)
        first = Call("warm")
        queue.submit(first.request)
        await first.future
        several = [Call(number) for number in range(4)]
        for call in several:
            queue.submit(call.request)
        await asyncio.gather(*(call.future for call in several))
        assert model.batches == [["warm"], [0, 1, 2, 3]]

    asyncio.run(run())


def test_a_bad_row_fails_alone():
    async def run() -> None:
        queue = batcher(Slow(seconds=0.001))
        calls = [Call("a"), Call("bad"), Call("b", "c")]
        for call in calls:
            queue.submit(call.request)
        good, bad, others = [await call.future for call in calls]
        assert good == [{"value": "a", "output": None}]
        assert isinstance(bad, ValueError)
        assert [row["value"] for row in others] == ["b", "c"]

    asyncio.run(run())


def test_requests_for_another_output_are_another_batch():
    async def run() -> None:
        model = Slow(seconds=0.001)
        queue = batcher(model)
        calls = [Call(1), Call(2, output="embedding"), Call(3, output="embedding"), Call(4)]
        for call in calls:
            queue.submit(call.request)
        answers = [await call.future for call in calls]
        assert [answer[0]["output"] for answer in answers] == [None, "embedding", "embedding", None]
        assert model.batches == [[1], [2, 3], [4]]

    asyncio.run(run())


def test_a_full_queue_refuses_and_says_when_to_retry():
    async def run() -> None:
        model = Slow(seconds=0.05)
        queue = batcher(model, max_waiting=3)
        running = Call(0)
        queue.submit(running.request)
        await asyncio.sleep(0.01)
        waiting = [Call(number) for number in range(1, 4)]
        for call in waiting:
            queue.submit(call.request)
        with pytest.raises(QueueFull) as full:
            queue.submit(Call(9).request)
        assert full.value.waiting == 3
        await asyncio.gather(running.future, *(call.future for call in waiting))
        assert queue.stats.refused == 1
        await asyncio.sleep(0)
        queue.submit((again := Call(10)).request)
        assert (await again.future)[0]["value"] == 10

    asyncio.run(run())


def test_the_request_of_a_client_that_disconnected_is_not_run():
    async def run() -> None:
        model = Slow()
        queue = batcher(model)
        first, gone, last = Call("first"), Call("left"), Call("last")
        queue.submit(first.request)
        await asyncio.sleep(model.seconds / 4)
        queue.submit(gone.request)
        queue.submit(last.request)
        gone.has_left = True
        await last.future
        assert model.batches == [["first"], ["last"]]
        assert (queue.stats.dropped, gone.future.done()) == (1, False)

    asyncio.run(run())


def test_a_passed_deadline_is_an_error_and_an_unreachable_one_is_refused():
    async def run() -> None:
        model = Slow(seconds=0.05)
        queue = batcher(model)
        first = Call(0)
        queue.submit(first.request)
        await asyncio.sleep(0.01)
        hurried = Call(1, deadline=time.monotonic() + 0.02)
        queue.submit(hurried.request)
        assert isinstance(await hurried.future, DeadlineExceeded)
        queue.submit((crowd := Call(*range(8))).request)
        queue.submit((more := Call(*range(8))).request)
        with pytest.raises(QueueFull):
            queue.submit(Call(2, deadline=time.monotonic() + 0.001).request)
        await asyncio.gather(crowd.future, more.future)

    asyncio.run(run())


def test_many_queues_share_the_threads_of_the_pool():
    async def run() -> None:
        running, most = 0, 0

        class Counting(Slow):
            def answer(self, rows: list[dict[str, Any]], *, output: str | None) -> list[dict[str, Any]]:
                nonlocal running, most
                running += 1
                most = max(most, running)
                try:
                    return super().answer(rows, output=output)
                finally:
                    running -= 1

        queues = [batcher(Counting(seconds=0.002)) for _ in range(20)]
        calls = [Call(number) for number in range(len(queues))]
        for queue, call in zip(queues, calls, strict=True):
            queue.submit(call.request)
        answers = [await asyncio.wait_for(call.future, 5) for call in calls]
        assert [answer[0]["value"] for answer in answers] == list(range(20))
        assert most <= THREADS
        await asyncio.sleep(0.01)
        assert all(queue.is_idle for queue in queues)

    asyncio.run(run())


class Sister(Slow):
    """A model that shares a trunk, and records what is run together."""

    def __init__(self, name: str, together: list[list[Any]]) -> None:
        super().__init__(seconds=0.005)
        self.name = name
        self.together = together

    def answer(self, rows: list[dict[str, Any]], *, output: str | None) -> list[dict[str, Any]]:
        return [{**answer, "by": self.name} for answer in super().answer(rows, output=output)]

    @staticmethod
    def answer_together(jobs: Any, *, output: str | None) -> Any:
        jobs[0][0].together.append([row["value"] for _, rows in jobs for row in rows])
        return [sister.answer(rows, output=output) for sister, rows in jobs]


def sisters(count: int, *, max_waiting: int = 100) -> tuple[list[Batcher], list[list[Any]]]:
    line, together = SharedQueue(max_rows=8, executor=EXECUTOR), []
    models: list[Any] = [Sister(f"sister {number}", together) for number in range(count)]
    return [Batcher(model, line, max_waiting=max_waiting) for model in models], together


def test_models_with_a_shared_queue_are_one_batch_and_get_their_own_outputs_in_order():
    async def run() -> None:
        (first_model, second_model, third_model), together = sisters(3)
        first_model.submit((first := Call("first")).request)
        await asyncio.sleep(0.001)
        calls = [(second_model, Call(1)), (first_model, Call(2, 3)), (second_model, Call(4)), (third_model, Call(5))]
        for queue, call in calls:
            queue.submit(call.request)
        assert (first_model.waiting, second_model.waiting, third_model.waiting) == (2, 2, 1)
        answers = [await call.future for call in (first, *(call for _, call in calls))]
        assert [[row["value"] for row in answer] for answer in answers] == [["first"], [1], [2, 3], [4], [5]]
        assert [answer[0]["by"][-1] for answer in answers] == ["0", "1", "0", "1", "2"]
        assert together == [[1, 4, 2, 3, 5]]
        assert [
            (batcher.stats.batches, batcher.stats.rows) for batcher in (first_model, second_model, third_model)
        ] == [
            (2, 3),
            (1, 2),
            (1, 1),
        ]
        assert [batcher.waiting for batcher in (first_model, second_model, third_model)] == [0, 0, 0]

    asyncio.run(run())


def test_in_a_shared_queue_a_bad_row_fails_alone_and_limits_are_per_model():
    async def run() -> None:
        (first_model, second_model), _ = sisters(2, max_waiting=3)
        first_model.submit((first := Call("first")).request)
        await asyncio.sleep(0.001)
        calls = [
            (first_model, Call(1)),
            (second_model, Call("bad")),
            (first_model, Call(2, 3)),
            (second_model, Call(4)),
        ]
        for queue, call in calls:
            queue.submit(call.request)
        with pytest.raises(QueueFull):
            first_model.submit(Call(9).request)
        second_model.submit((gone := Call("gone")).request)
        gone.has_left = True
        answers = [await call.future for call in (first, *(call for _, call in calls))]
        assert isinstance(answers[2], ValueError)
        assert [[row["value"] for row in answers[place]] for place in (0, 1, 3, 4)] == [["first"], [1], [2, 3], [4]]
        assert (first_model.stats.refused, second_model.stats.refused) == (1, 0)
        assert (first_model.stats.dropped, second_model.stats.dropped) == (0, 1)

    asyncio.run(run())
