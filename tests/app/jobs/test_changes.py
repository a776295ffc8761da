"""Streams of many jobs share one reader of the database."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs import changes
from app.jobs.changes import JobChanges
from store.job_events import JobVersion

QUEUED = JobVersion(1, "queued")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Job ids of each query; the versions that it returns are those of `versions`."""
    calls: list[list[str]] = []

    def read(job_ids: Sequence[str]) -> Mapping[str, JobVersion]:
        calls.append(sorted(job_ids))
        if "broken" in job_ids:
            raise OperationalError("select", {}, Exception("no database"))
        return {job_id: QUEUED for job_id in job_ids if job_id != "deleted"}

    monkeypatch.setattr(changes, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(changes, "_versions", read)
    return calls


async def wait(job_changes: JobChanges, job_id: str, version: JobVersion) -> bool:
    with job_changes.watch(job_id):
        return await job_changes.has_changed(job_id, version)


def test_all_streams_wait_for_one_query_that_names_each_job_once(reads: list[list[str]]) -> None:
    async def wait_together() -> list[bool]:
        job_changes = JobChanges()
        return await asyncio.gather(*(wait(job_changes, f"job_{number % 3}", QUEUED) for number in range(30)))

    results = asyncio.run(wait_together())

    assert not any(results)
    assert reads == [["job_0", "job_1", "job_2"]]


def test_the_reader_ends_with_the_last_stream_and_starts_again_with_the_next(reads: list[list[str]]) -> None:
    async def wait_twice() -> tuple[int, bool]:
        job_changes = JobChanges()
        await wait(job_changes, "job_0", QUEUED)
        count = len(reads)
        await asyncio.sleep(0.05)
        return len(reads) - count, await wait(job_changes, "job_1", JobVersion(0, "queued"))

    assert asyncio.run(wait_twice()) == (0, True)
    assert reads[-1] == ["job_1"]


@pytest.mark.parametrize("job_id", ["deleted", "broken"])
def test_a_stream_looks_itself_where_no_version_is_known(reads: list[list[str]], job_id: str) -> None:
    async def wait_once() -> bool:
        return await wait(JobChanges(), job_id, QUEUED)

    assert asyncio.run(wait_once())
    assert reads == [[job_id]]
