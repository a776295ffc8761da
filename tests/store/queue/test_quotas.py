"""Quotas of API keys, with SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from store import api_keys, jobs
from store.database import transaction
from store.errors import QuotaReached
from store.queue.owner import current_owner
from store.tables import Job, JobKind, clock
from tests.support.settings import forget_settings

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def key_id() -> Iterator[str]:
    """The id of a key for which the test submits jobs."""
    with transaction() as session:
        key_id = api_keys.create(session, name="ann")[0].id
    token = current_owner.set(key_id)
    yield key_id
    current_owner.reset(token)


def limit(key_id: str, **limits: int | None) -> None:
    with transaction() as session:
        api_keys.change_limits(session, key_id, **limits)


def submit(kind: str = JobKind.FINETUNE, *, parent_id: str | None = None) -> str:
    with transaction() as session:
        return jobs.submit(session, kind=kind, spec={}, parent_id=parent_id, trial=None if parent_id is None else 0).id


def run(job_id: str, *, cpu_seconds: float, started_hours_ago: float = 0) -> None:
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="w")
        assert claim is not None
        jobs.report(session, claim, progress={"cpu_seconds": cpu_seconds})
        jobs.succeed(session, claim)
        values = {"started_at": clock(-3600 * started_hours_ago)}
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def test_a_key_without_quotas_submits_any_number_of_jobs(key_id: str) -> None:
    assert len({submit() for _ in range(20)}) == 20


def test_queued_and_running_jobs_count_against_the_quota_until_they_end(key_id: str) -> None:
    limit(key_id, max_jobs=2)
    first, second = submit(), submit(JobKind.IMPORT)
    with pytest.raises(QuotaReached, match=r"'ann' has 2 jobs queued or running \(quota 2\); wait") as error:
        submit()
    assert error.value.retry_seconds is None
    with transaction() as session:
        jobs.cancel(session, second)
    submit()
    with pytest.raises(QuotaReached):
        submit()
    run(first, cpu_seconds=0)
    submit()


def test_trials_are_never_refused_and_count_as_their_sweep(key_id: str) -> None:
    limit(key_id, max_jobs=2)
    sweep_id = submit(JobKind.SWEEP)
    submit(parent_id=sweep_id)
    submit()
    with pytest.raises(QuotaReached):
        submit()


def test_other_keys_and_the_service_have_quotas_of_their_own(key_id: str) -> None:
    limit(key_id, max_jobs=1)
    submit()
    for owner in ("", "key_other"):
        token = current_owner.set(owner)
        submit()
        current_owner.reset(token)
    with pytest.raises(QuotaReached):
        submit()


def test_cpu_time_counts_for_a_day_after_the_start(key_id: str) -> None:
    limit(key_id, cpu_seconds_per_day=100)
    run(submit(), cpu_seconds=1000, started_hours_ago=25)
    run(submit(), cpu_seconds=60, started_hours_ago=23)
    run(submit(), cpu_seconds=39.5)
    last = submit()
    run(last, cpu_seconds=0.5)
    with pytest.raises(QuotaReached, match=r"have used 100 CPU seconds within a day \(quota 100\)") as error:
        submit()
    assert error.value.retry_seconds is not None
    assert 3500 < error.value.retry_seconds <= 3600


def test_cpu_time_of_a_deleted_job_counts(key_id: str) -> None:
    limit(key_id, cpu_seconds_per_day=100)
    job_id = submit()
    run(job_id, cpu_seconds=100)
    with transaction() as session:
        jobs.remove(session, job_id)
    with pytest.raises(QuotaReached):
        submit()


def test_settings_give_a_default_that_a_key_overrides(key_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_KEY_MAX_JOBS", "1")
    forget_settings()
    submit()
    with pytest.raises(QuotaReached):
        submit()
    limit(key_id, max_jobs=2)
    submit()
    limit(key_id, max_jobs=None)
    with pytest.raises(QuotaReached):
        submit()
