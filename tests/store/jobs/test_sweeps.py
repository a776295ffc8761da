"""Sweeps and their trials in the state machine of jobs, with SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from store import jobs
from store.database import transaction
from store.errors import Conflict, StaleClaim
from store.jobs import Claim
from store.tables import Job, JobKind, Lane, clock

pytestmark = pytest.mark.usefixtures("database")


def submit(**fields: Any) -> str:
    with transaction() as session:
        return jobs.submit(session, **{"kind": JobKind.SWEEP, "spec": {}, "model_name": "digits"} | fields).id


def submit_trial(parent_id: str, number: int) -> str:
    return submit(kind=JobKind.FINETUNE, model_name=None, parent_id=parent_id, trial=number, parameters={})


def claim(job_id: str) -> Claim:
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="w")
    assert claim is not None
    return claim


def suspended_sweep(*, trials: int = 2) -> tuple[str, list[str]]:
    sweep_id = submit()
    held = claim(sweep_id)
    ids = [submit_trial(sweep_id, number) for number in range(trials)]
    with transaction() as session:
        jobs.suspend(session, held)
    return sweep_id, ids


def state(job_id: str) -> tuple[str, str | None]:
    with transaction() as session:
        job = jobs.get(session, job_id)
        return job.state, job.requested


def due() -> list[str]:
    with transaction() as session:
        return jobs.jobs_to_notify(session, Lane.COORDINATING, messages_waiting=0)


def test_a_suspended_sweep_holds_no_lease_and_is_claimed_again() -> None:
    sweep_id = submit()
    held = claim(sweep_id)
    with transaction() as session:
        jobs.suspend(session, held)
        assert jobs.requeue_expired(session) == []
    with pytest.raises(StaleClaim), transaction() as session:
        jobs.heartbeat(session, held)
    assert state(sweep_id) == ("running", None)
    assert claim(sweep_id).fence == held.fence + 1


def test_the_end_of_a_trial_rings_its_sweep_by_its_row() -> None:
    sweep_id, (first, second) = suspended_sweep()
    assert sweep_id not in due()
    held = claim(first)
    with transaction() as session:
        jobs.succeed(session, held, report={})
    assert sweep_id in due()
    assert claim(sweep_id).kind == JobKind.SWEEP
    with transaction() as session:
        assert [trial.id for trial in jobs.trials(session, sweep_id)] == [first, second]


def test_a_sweep_is_rung_when_its_time_is_over() -> None:
    sweep_id = submit()
    held = claim(sweep_id)
    with transaction() as session:
        jobs.suspend(session, held, wake_after_seconds=-1)
    assert due() == [sweep_id]


def test_no_trial_is_created_twice() -> None:
    sweep_id = submit()
    submit_trial(sweep_id, 0)
    with pytest.raises(IntegrityError):
        submit_trial(sweep_id, 0)


def test_cancel_ends_a_sweep_and_its_trials() -> None:
    sweep_id, (first, second) = suspended_sweep()
    claim(first)
    with transaction() as session:
        jobs.cancel(session, sweep_id)
    assert state(sweep_id)[0] == state(second)[0] == "cancelled"
    assert state(first) == ("running", "cancel")


def test_stop_keeps_trials_that_run_and_drops_those_that_wait() -> None:
    sweep_id, (first, second) = suspended_sweep()
    claim(first)
    with transaction() as session:
        jobs.stop(session, sweep_id)
    assert (state(sweep_id), state(first)) == (("running", "stop"), ("running", "stop"))
    assert state(second)[0] == "cancelled"
    assert claim(sweep_id).requested == "stop"


def test_a_free_slot_rings_every_suspended_sweep() -> None:
    sweep_ids = {suspended_sweep(trials=0)[0] for _ in range(2)}
    assert due() == []
    with transaction() as session:
        jobs.ring_suspended(session)
    assert set(due()) == sweep_ids


def test_pause_and_resume_act_on_the_trials() -> None:
    sweep_id, (first, second) = suspended_sweep()
    held = claim(first)
    with transaction() as session:
        jobs.pause(session, sweep_id)
    assert state(sweep_id) == state(second) == ("queued", "pause")
    assert state(first) == ("running", "pause")
    with transaction() as session:
        jobs.release(session, held, crashed=False)
        assert jobs.claim(session, sweep_id, worker="w") is None
        jobs.resume(session, sweep_id)
    assert {state(job_id) for job_id in (sweep_id, first, second)} == {("queued", None)}


def test_a_sweep_that_is_paused_while_it_starts_trials_stays_paused() -> None:
    sweep_id = submit()
    held = claim(sweep_id)
    with transaction() as session:
        jobs.pause(session, sweep_id)
        jobs.suspend(session, held)
    assert state(sweep_id) == ("queued", "pause")


def test_trials_are_listed_under_their_sweep_alone_and_deleted_with_it() -> None:
    sweep_id, (first, second) = suspended_sweep()

    def list_ids(**conditions: Any) -> set[str]:
        with transaction() as session:
            matching = jobs.JobFilter(**conditions)
            return {job.id for job in jobs.listing(session, limit=10, cursor=None, matching=matching).items}

    assert list_ids() == {sweep_id}
    assert list_ids(parent=sweep_id) == {first, second}
    assert list_ids(id_prefix=first) == {first}
    with transaction() as session:
        assert jobs.count_unfinished(session, Lane.COMPUTING) == 2
        jobs.cancel(session, sweep_id)
    with pytest.raises(Conflict, match="delete that sweep"), transaction() as session:
        jobs.remove(session, first)
    with transaction() as session:
        assert jobs.remove(session, sweep_id) == [sweep_id, first, second]
    assert list_ids(parent=sweep_id) == set()


def test_a_sweep_whose_process_is_lost_is_queued_and_claimed_again() -> None:
    sweep_id = submit()
    claim(sweep_id)
    with transaction() as session:
        session.execute(update(Job).where(Job.id == sweep_id).values(lease_until=clock(-1)))
    with transaction() as session:
        assert jobs.requeue_expired(session) == [sweep_id]
    assert claim(sweep_id).crashes == 1
