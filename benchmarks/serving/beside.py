"""Latency of predictions while two jobs train on the same machine."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from benchmarks.serving import images
from benchmarks.serving.caller import calling
from benchmarks.serving.service import Figure, Service
from tests.support.factories import png
from tests.support.stack import plinth_up

if TYPE_CHECKING:
    from plinth import Plinth
    from tests.support.stack import RunningStack

JOBS: Final = 2
CALLERS: Final = 4
#: Between an answer and the next request of a caller: far from what the service could do, as it is on most days.
THINKING_SECONDS: Final = 0.01
TURNS: Final = 3
WATCHED_SECONDS: Final = 10.0
MAX_TIMES: Final = 3.0
#: In which both jobs must have begun.
TRAINING_SECONDS: Final = 120.0


def measure(service: Service) -> Iterable[Figure]:
    """Measure idle and beside two jobs in turn; returns the median of three turns."""
    folder = service.folder / "beside"
    folder.mkdir()
    idle, busy = [], []
    with (
        plinth_up(folder / "home", PLINTH_DEVICE="cpu", PLINTH_JOB_SLOTS=str(JOBS)) as stack,
        stack.client() as plinth,
    ):
        source = images.table(folder / "pictures.csv", rows=2_000)
        plinth.datasets.wait(plinth.datasets.upload(source, name="pictures", task="image_classification").id)
        plinth.jobs.wait(_train(plinth, "served", epochs=1))
        for _ in range(TURNS):
            idle.append(_waits(stack))
            with _training(plinth):
                busy.append(_waits(stack))
    failed = sum(item.count(None) for item in (*idle, *busy))
    alone, beside = (statistics.median(_percentile(turn, 0.99) for turn in turns) for turns in (idle, busy))
    middle_alone, middle_beside = (
        statistics.median(_percentile(turn, 0.5) for turn in turns) for turns in (idle, busy)
    )
    note = f"p99 {alone:.1f} ms alone, {beside:.1f} ms beside; p50 {middle_alone:.1f} and {middle_beside:.1f} ms"
    yield Figure(f"p99 while {JOBS} jobs train beside", f"{beside / alone:.1f} x idle", f"<= {MAX_TIMES:g} x", note)
    yield Figure(
        f"failed while {JOBS} jobs train beside", f"{failed} failed", "0", f"of {sum(map(len, (*idle, *busy))):,}"
    )


def _train(plinth: Plinth, model: str, *, epochs: int) -> str:
    return plinth.jobs.finetune(
        "images",
        model=model,
        task="image_classification",
        architecture={"name": "cnn", "config": {"preset": "document", "hidden": 64}},
        schedule={"epochs": epochs},
    ).id


@contextmanager
def _training(plinth: Plinth) -> Iterator[None]:
    jobs = [_train(plinth, f"other-{number}", epochs=1_000) for number in range(JOBS)]
    began = time.monotonic()
    while not all(plinth.jobs.get(job).progress.step for job in jobs):
        assert time.monotonic() < began + TRAINING_SECONDS, "the jobs do not begin"
        time.sleep(0.2)
    yield
    for job in jobs:
        plinth.jobs.cancel(job)
    while not all(plinth.jobs.get(job).is_final for job in jobs):
        time.sleep(0.2)


def _waits(stack: RunningStack) -> list[float | None]:
    """Milliseconds that callers waited, None for each that failed."""

    async def caller(number: int) -> list[float | None]:
        waits: list[float | None] = []
        body = png(10 * number, side=28)
        until = time.monotonic() + WATCHED_SECONDS
        async with calling(int(stack.url.rpartition(":")[2]), stack.api_key) as client:
            while time.monotonic() < until:
                answer = await client.ask("/predict/served", body, "image/png")
                waits.append(1e3 * answer.seconds if answer.status == HTTPStatus.OK else None)
                await asyncio.sleep(THINKING_SECONDS)
        return waits

    async def all_of_them() -> list[list[float | None]]:
        return await asyncio.gather(*map(caller, range(CALLERS)))

    return [wait for waits in asyncio.run(all_of_them()) for wait in waits]


def _percentile(waits: list[float | None], fraction: float) -> float:
    """Return latencies, with failed requests as the longest."""
    ordered = sorted(math.inf if wait is None else wait for wait in waits)
    return ordered[int(fraction * (len(ordered) - 1))]
