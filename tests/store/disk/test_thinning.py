"""The events and curves of long runs are thinned, so that their size is bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from store import jobs
from store.database import reading, transaction
from store.disk import thinning
from store.disk.thinning import EVENT_STRIDE, MAX_CURVE_POINTS, MAX_DELETED_EVENTS, WHOLE_CURVE_POINTS, WHOLE_SECONDS
from store.tables import Event, Job, JobKind, MetricPoint
from worker.garbage_collection import thin_histories

pytestmark = pytest.mark.usefixtures("database")

#: Rates of a run and bytes of rows that scale-2 measured: a day with them was 95 MB.
EVENTS_A_SECOND, EVENT_BYTES, POINT_BYTES, CURVES = 3.0, 176, 149, 4


def submit_job(*, state: str = "running", events: int, oldest_seconds: float, kind: str = "progress") -> str:
    """Submit a job whose events lie evenly between `oldest_seconds` ago and now."""
    now = datetime.now(UTC)
    with transaction() as session:
        job_id = jobs.submit(session, kind=JobKind.FINETUNE, spec={}).id
        first = session.get_one(Job, job_id).events + 1
        rows = [
            {
                "job_id": job_id,
                "number": first + index,
                "kind": kind,
                "data": {},
                "created_at": now - timedelta(seconds=oldest_seconds * (1 - index / events)),
            }
            for index in range(events)
        ]
        session.execute(insert(Event), rows)
        session.execute(update(Job).where(Job.id == job_id).values(state=state, events=Job.events + events))
    return job_id


def count_events(job_id: str, *, kind: str = "progress") -> int:
    with reading() as session:
        query = select(func.count()).select_from(Event).where(Event.job_id == job_id, Event.kind == kind)
        return session.scalar(query) or 0


def add_curve(job_id: str, points: int) -> None:
    with transaction() as session:
        values = [{"job_id": job_id, "name": "loss", "step": step, "value": 0.5} for step in range(points)]
        session.execute(insert(MetricPoint), values)


def read_steps(job_id: str) -> list[int]:
    with reading() as session:
        query = select(MetricPoint.step).where(MetricPoint.job_id == job_id).order_by(MetricPoint.step)
        return list(session.scalars(query))


def test_old_events_of_progress_are_thinned_and_recent_ones_stay() -> None:
    job_id = submit_job(events=6000, oldest_seconds=2 * WHOLE_SECONDS)
    thin_histories()

    assert count_events(job_id) == pytest.approx(3000 + 3000 / EVENT_STRIDE, abs=5)
    before = count_events(job_id)
    thin_histories()
    assert count_events(job_id) == pytest.approx(before, abs=5), "what was thinned is not thinned again"


def test_states_and_log_lines_stay() -> None:
    job_id = submit_job(events=6000, oldest_seconds=9 * WHOLE_SECONDS, kind="log")
    thin_histories()

    assert count_events(job_id, kind="log") == 6000
    assert count_events(job_id, kind="state") == 1


def test_a_transaction_deletes_a_limited_number() -> None:
    job_id = submit_job(events=6000, oldest_seconds=9 * WHOLE_SECONDS)
    with transaction() as session:
        assert thinning.thin_events(session, job_id) == MAX_DELETED_EVENTS


@pytest.mark.parametrize(("state", "events"), [("succeeded", 6000), ("running", 100)])
def test_jobs_that_ended_long_ago_and_short_ones_are_not_read(state: str, events: int) -> None:
    job_id = submit_job(state=state, events=events, oldest_seconds=9 * WHOLE_SECONDS)
    with reading() as session:
        assert job_id not in thinning.long_jobs(session)


def test_a_long_curve_loses_every_second_old_point() -> None:
    job_id = submit_job(events=5000, oldest_seconds=1)
    add_curve(job_id, MAX_CURVE_POINTS + 1001)
    thin_histories()
    steps = read_steps(job_id)

    assert steps[-WHOLE_CURVE_POINTS:] == list(range(steps[-1] - WHOLE_CURVE_POINTS + 1, steps[-1] + 1))
    assert steps[:4] == [0, 2, 4, 6]
    assert len(steps) == WHOLE_CURVE_POINTS + (MAX_CURVE_POINTS + 1) // 2 + 1
    thin_histories()
    assert read_steps(job_id) == steps, "a curve within the limit stays"


def test_a_day_of_a_run_takes_less_than_five_megabytes() -> None:
    recent = EVENTS_A_SECOND * WHOLE_SECONDS
    old = EVENTS_A_SECOND * (86_400 - WHOLE_SECONDS) / EVENT_STRIDE

    assert (recent + old) * EVENT_BYTES + CURVES * MAX_CURVE_POINTS * POINT_BYTES < 5_000_000
