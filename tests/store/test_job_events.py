"""Events in order, and curves that are thinned where they are stored."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import insert, text

from store import job_events, jobs
from store.database import engine, reading, transaction
from store.tables import JobKind, MetricPoint

pytestmark = pytest.mark.usefixtures("database")


def submit_job() -> str:
    with transaction() as session:
        return jobs.submit(session, kind=JobKind.FINETUNE, spec={}).id


def read_curve(job_id: str, *, max_points: int) -> job_events.Curve:
    with reading() as session:
        return job_events.metrics(session, job_id, max_points=max_points)["loss"]


def test_a_long_curve_is_thinned_evenly_over_its_steps() -> None:
    job_id = submit_job()
    with transaction() as session:
        steps = range(0, 30_000, 3)
        session.execute(
            insert(MetricPoint), [{"job_id": job_id, "name": "loss", "step": step, "value": step} for step in steps]
        )
    curve = read_curve(job_id, max_points=101)
    assert len(curve) <= 101
    assert (curve[0], curve[-1]) == ((0, 0.0), (29_997, 29_997.0))
    assert {later - earlier for (earlier, _), (later, _) in pairwise(curve[:-1])} == {300}


@pytest.mark.parametrize("max_points", [1, 2, 3])
def test_the_last_point_of_a_thinned_curve_remains(max_points: int) -> None:
    job_id = submit_job()
    with transaction() as session:
        points = [{"job_id": job_id, "name": "loss", "step": step, "value": None} for step in (1, 2, 40, 1000)]
        session.execute(insert(MetricPoint), points)
    curve = read_curve(job_id, max_points=max_points)
    assert len(curve) <= max_points
    assert curve[-1] == (1000, None)


def test_log_lines_are_found_by_their_index() -> None:
    if engine().dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by statistics, which an empty table has not")
    with reading() as session:
        plan = session.execute(
            text("EXPLAIN QUERY PLAN SELECT * FROM event WHERE job_id = 'a' AND number > 3 AND kind = 'log'")
        ).all()
        assert job_events.log_lines(session, "job_none", limit=5) == []
    assert "ix_event_log" in plan[0][3]
