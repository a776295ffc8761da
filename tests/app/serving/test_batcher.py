"""The queue before a model, with a model that says what it was asked."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from app.serving.batcher import Batcher, PendingRequest, SharedQueue
from app.serving.errors import DeadlineExceeded, QueueFull


class Slow:
    """Takes a while, and remembers its batches; fails where a row says so."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.batches: list[list[Any]] = []

    def answer(self, rows: list[dict[str, Any]], *, output: str | None) -> list[dict[str, Any]]:
        self.batches.append([row["value"] for row in rows])
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass  # works, as a network does: to sleep costs the processor nothing
        if any(row["value"] == "bad" for row in rows):
            raise ValueError("bad")
        return [{"value": row["value"], "wanted": output} for row in rows]


class Asked:
    """One request."""

    def __init__(self, *values: Any, wanted: str | None = None, until: float | None = None) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.left = False
        self.work = PendingRequest([{"value": value} for value in values], wanted, self._done, lambda: self.left, until)

    def _done(self, outputs: Any, error: Exception | None) -> None:
        self.future.set_result(outputs if error is None else error)


def batcher(model: Any, *, max_waiting: int = 100) -> Batcher:
    return Batcher(model, SharedQueue(max_rows=8), max_waiting=max_waiting)


def test_what_comes_while_a_batch_runs_is_the_next_batch():
    async def run() -> None:
        model = Slow()
        queue = batcher(model)
        first = Asked(0)
        queue.submit(first.work)
        await asyncio.sleep(model.seconds / 4)
        others = [Asked(number) for number in range(1, 6)]
        for each in others:
            queue.submit(each.work)
        answers = [await each.future for each in (first, *others)]
        assert [answer[0]["value"] for answer in answers] == [0, 1, 2, 3, 4, 5]
        assert model.batches == [[0], [1, 2, 3, 4, 5]]
        assert queue.is_idle
        queue.close()

    asyncio.run(run())


def test_a_cheap_model_is_run_on_the_loop_once_a_turn():
    async def run() -> None:
        model = Slow(seconds=0)
        queue = batcher(model)
        first = Asked("warm")
        queue.submit(first.work)
        await first.future
        several = [Asked(number) for number in range(4)]
        for each in several:
            queue.submit(each.work)
        await asyncio.gather(*(each.future for each in several))
        assert model.batches == [["warm"], [0, 1, 2, 3]]
        queue.close()

    asyncio.run(run())


def test_a_bad_row_fails_alone():
    async def run() -> None:
        queue = batcher(Slow(seconds=0.001))
        asked = [Asked("a"), Asked("bad"), Asked("b", "c")]
        for each in asked:
            queue.submit(each.work)
        good, bad, others = [await each.future for each in asked]
        assert good == [{"value": "a", "wanted": None}]
        assert isinstance(bad, ValueError)
        assert [row["value"] for row in others] == ["b", "c"]
        queue.close()

    asyncio.run(run())


def test_what_wants_something_else_waits_for_its_own_batch():
    async def run() -> None:
        model = Slow(seconds=0.001)
        queue = batcher(model)
        asked = [Asked(1), Asked(2, wanted="embedding"), Asked(3, wanted="embedding"), Asked(4)]
        for each in asked:
            queue.submit(each.work)
        answers = [await each.future for each in asked]
        assert [answer[0]["wanted"] for answer in answers] == [None, "embedding", "embedding", None]
        assert model.batches == [[1], [2, 3], [4]]
        queue.close()

    asyncio.run(run())


def test_a_full_queue_refuses_and_says_when_to_come_again():
    async def run() -> None:
        model = Slow(seconds=0.05)
        queue = batcher(model, max_waiting=3)
        running = Asked(0)
        queue.submit(running.work)
        await asyncio.sleep(0.01)
        waiting = [Asked(number) for number in range(1, 4)]
        for each in waiting:
            queue.submit(each.work)
        with pytest.raises(QueueFull) as full:
            queue.submit(Asked(9).work)
        assert full.value.waiting == 3
        await asyncio.gather(running.future, *(each.future for each in waiting))
        assert queue.stats.refused == 1
        await asyncio.sleep(0)
        queue.submit((again := Asked(10)).work)
        assert (await again.future)[0]["value"] == 10
        queue.close()

    asyncio.run(run())


def test_work_of_a_client_that_left_is_not_done():
    async def run() -> None:
        model = Slow()
        queue = batcher(model)
        first, left, last = Asked("first"), Asked("left"), Asked("last")
        queue.submit(first.work)
        await asyncio.sleep(model.seconds / 4)
        queue.submit(left.work)
        queue.submit(last.work)
        left.left = True
        await last.future
        assert model.batches == [["first"], ["last"]]
        assert (queue.stats.dropped, left.future.done()) == (1, False)
        queue.close()

    asyncio.run(run())


def test_a_deadline_that_is_over_is_told_and_one_that_cannot_be_kept_is_refused():
    async def run() -> None:
        model = Slow(seconds=0.05)
        queue = batcher(model)
        first = Asked(0)
        queue.submit(first.work)
        await asyncio.sleep(0.01)
        hurried = Asked(1, until=time.monotonic() + 0.02)
        queue.submit(hurried.work)
        assert isinstance(await hurried.future, DeadlineExceeded)
        queue.submit((crowd := Asked(*range(8))).work)
        queue.submit((more := Asked(*range(8))).work)
        with pytest.raises(QueueFull):
            queue.submit(Asked(2, until=time.monotonic() + 0.001).work)
        await asyncio.gather(crowd.future, more.future)
        queue.close()

    asyncio.run(run())


def test_a_queue_that_was_closed_still_answers_what_waits_and_what_comes_after_all():
    async def run() -> None:
        queue = batcher(Slow())
        waiting = [Asked(number) for number in range(20)]
        for each in waiting:
            queue.submit(each.work)
        await asyncio.sleep(0.005)
        queue.close()
        answers = [await asyncio.wait_for(each.future, 5) for each in waiting]
        assert [answer[0]["value"] for answer in answers] == list(range(20))
        late = Asked("late")
        queue.submit(late.work)
        assert (await asyncio.wait_for(late.future, 5))[0]["value"] == "late"
        await asyncio.sleep(0.01)
        assert queue.is_idle
        assert not [each for each in threading.enumerate() if each.name.startswith("predict")]

    asyncio.run(run())


class Sister(Slow):
    """Has a trunk in common with others, and notes there what was run together."""

    def __init__(self, name: str, together: list[list[Any]]) -> None:
        super().__init__(seconds=0.005)
        self.name = name
        self.together = together

    def answer(self, rows: list[dict[str, Any]], *, output: str | None) -> list[dict[str, Any]]:
        return [{**answer, "by": self.name} for answer in super().answer(rows, output=output)]

    @staticmethod
    def answer_together(asked: Any, *, output: str | None) -> Any:
        asked[0][0].together.append([row["value"] for _, rows in asked for row in rows])
        return [sister.answer(rows, output=output) for sister, rows in asked]


def sisters(count: int, *, max_waiting: int = 100) -> tuple[list[Batcher], list[list[Any]]]:
    line, together = SharedQueue(max_rows=8), []
    models: list[Any] = [Sister(f"sister {number}", together) for number in range(count)]
    return [Batcher(model, line, max_waiting=max_waiting) for model in models], together


def test_models_alike_are_one_batch_and_each_gets_its_own_answers_in_order():
    async def run() -> None:
        (one, two, three), together = sisters(3)
        one.submit((first := Asked("first")).work)
        await asyncio.sleep(0.001)
        asked = [(two, Asked(1)), (one, Asked(2, 3)), (two, Asked(4)), (three, Asked(5))]
        for queue, each in asked:
            queue.submit(each.work)
        assert (one.waiting, two.waiting, three.waiting) == (2, 2, 1)
        answers = [await each.future for each in (first, *(each for _, each in asked))]
        assert [[row["value"] for row in answer] for answer in answers] == [["first"], [1], [2, 3], [4], [5]]
        assert [answer[0]["by"][-1] for answer in answers] == ["0", "1", "0", "1", "2"]
        assert together == [[1, 4, 2, 3, 5]]
        assert [(each.stats.batches, each.stats.rows) for each in (one, two, three)] == [(2, 3), (1, 2), (1, 1)]
        assert [each.waiting for each in (one, two, three)] == [0, 0, 0]
        for queue in (one, two, three):
            queue.close()

    asyncio.run(run())


def test_among_models_alike_a_bad_row_fails_alone_and_a_full_queue_is_ones_own():
    async def run() -> None:
        (one, two), _ = sisters(2, max_waiting=3)
        one.submit((first := Asked("first")).work)
        await asyncio.sleep(0.001)
        asked = [(one, Asked(1)), (two, Asked("bad")), (one, Asked(2, 3)), (two, Asked(4))]
        for queue, each in asked:
            queue.submit(each.work)
        with pytest.raises(QueueFull):
            one.submit(Asked(9).work)
        two.submit((gone := Asked("gone")).work)
        gone.left = True
        answers = [await each.future for each in (first, *(each for _, each in asked))]
        assert isinstance(answers[2], ValueError)
        assert [[row["value"] for row in answers[place]] for place in (0, 1, 3, 4)] == [["first"], [1], [2, 3], [4]]
        assert (one.stats.refused, two.stats.refused) == (1, 0)
        assert (one.stats.dropped, two.stats.dropped) == (0, 1)
        one.close()
        two.close()

    asyncio.run(run())


def test_a_model_that_leaves_takes_nothing_from_those_alike():
    async def run() -> None:
        (one, two), together = sisters(2)
        one.submit((first := Asked("first")).work)
        await asyncio.sleep(0.001)
        asked = [(one, Asked(1)), (two, Asked(2))]
        for queue, each in asked:
            queue.submit(each.work)
        one.close()
        assert [(await each.future)[0]["value"] for each in (first, *(each for _, each in asked))] == ["first", 1, 2]
        assert together == [[1, 2]]
        two.submit((last := Asked("last")).work)
        assert (await last.future)[0]["by"] == "sister 1"
        two.close()
        await asyncio.sleep(0.01)
        assert not [each for each in threading.enumerate() if each.name.startswith("predict")]

    asyncio.run(run())
