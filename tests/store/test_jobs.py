"""The state machine, over SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from store import job_events, jobs, models
from store.database import transaction
from store.errors import Conflict, NotFound, StaleClaim
from store.ids import new_id
from store.jobs import Claim
from store.models import NewModel
from store.tables import Event, Job, Model, clock

pytestmark = pytest.mark.usefixtures("database")

CRASH = {"code": "crashed", "message": "the run died", "hint": None, "user_fault": False}


def submitted() -> str:
    with transaction() as session:
        return jobs.submit(session, kind="finetune", spec={"seed": 0}, model_name="digits").id


def claimed(job_id: str) -> Claim:
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="w")
    assert claim is not None
    return claim


def row(job_id: str) -> Job:
    with transaction() as session:
        return jobs.get(session, job_id)


def package(name: str = "digits") -> NewModel:
    model_id = new_id("mdl")
    return NewModel(
        id=model_id,
        name=name,
        task=None,
        architectures={"image": "cnn"},
        parameters=1,
        bytes=1,
        metrics={},
        labels=None,
        formats=["safetensors"],
        files=[],
        key=f"models/{model_id}",
        manifest_sha256="0" * 64,
        parent_id=None,
    )


def in_transaction(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with transaction() as session:
        return function(session, *arguments, **options)


def let_the_lease_end(job_id: str) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=clock(-1)))


def states(job_id: str) -> list[str]:
    with transaction() as session:
        return [event.data["state"] for event in job_events.events(session, job_id, limit=100) if event.kind == "state"]


def test_a_submitted_job_is_queued_and_says_so() -> None:
    job = row(submitted())
    assert (job.state, job.fence, job.crashes, job.requested) == ("queued", 0, 0, None)
    assert states(job.id) == ["queued"]


def test_a_second_claim_gets_nothing() -> None:
    job_id = submitted()
    claimed(job_id)
    assert in_transaction(jobs.claim, job_id, worker="other") is None


def test_of_sixteen_claims_at_once_one_wins() -> None:
    job_id, won, gate = submitted(), [], threading.Barrier(16)

    def try_to_claim() -> None:
        gate.wait()
        if (claim := in_transaction(jobs.claim, job_id, worker="w")) is not None:
            won.append(claim)

    threads = [threading.Thread(target=try_to_claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.fence for claim in won] == [1]


def test_a_run_ends_with_its_model_in_one_transaction() -> None:
    claim = claimed(submitted())
    model = in_transaction(jobs.succeed, claim, model=package(), report={"rows": 3}, reason="completed")
    job = row(claim.job_id)
    assert (job.state, job.reason, job.report, job.lease_until) == ("succeeded", "completed", {"rows": 3}, None)
    assert (model.name, model.version, model.job_id) == ("digits", 1, claim.job_id)
    assert states(claim.job_id) == ["queued", "running", "succeeded"]


def test_a_model_that_cannot_be_stored_leaves_its_job_running() -> None:
    first, second = claimed(submitted()), claimed(submitted())
    new = package()
    in_transaction(jobs.succeed, first, model=new)
    with pytest.raises(Exception, match=r"(?i)unique"):
        in_transaction(jobs.succeed, second, model=new)
    assert row(second.job_id).state == "running"


STALE: dict[str, Callable[[Claim], Any]] = {
    "heartbeat": lambda claim: in_transaction(jobs.heartbeat, claim),
    "report": lambda claim: in_transaction(jobs.report, claim, metrics={"train/loss": 1.0}, step=1),
    "add_checkpoint": lambda claim: in_transaction(jobs.add_checkpoint, claim, step=1, key="k", digest="d"),
    "succeed": lambda claim: in_transaction(jobs.succeed, claim, model=package()),
    "fail": lambda claim: in_transaction(jobs.fail, claim, error=CRASH),
    "finish_cancelled": lambda claim: in_transaction(jobs.finish_cancelled, claim),
    "release": lambda claim: in_transaction(jobs.release, claim, crashed=False),
}


@pytest.mark.parametrize("write", STALE.values(), ids=STALE)
def test_a_run_that_was_fenced_off_writes_nothing(write: Callable[[Claim], Any]) -> None:
    old = claimed(submitted())
    let_the_lease_end(old.job_id)
    assert in_transaction(jobs.requeue_expired) == [old.job_id]
    new = claimed(old.job_id)
    before = row(old.job_id)
    with pytest.raises(StaleClaim):
        write(old)
    after = row(old.job_id)
    assert (after.state, after.fence, after.latest, after.events) == ("running", new.fence, None, before.events)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 0
        assert jobs.checkpoints(session, old.job_id) == []


def test_a_lost_worker_costs_a_crash_and_its_job_runs_again() -> None:
    claim = claimed(submitted())
    assert in_transaction(jobs.requeue_expired) == []
    let_the_lease_end(claim.job_id)
    assert in_transaction(jobs.requeue_expired) == [claim.job_id]
    job = row(claim.job_id)
    assert (job.state, job.crashes, job.reason) == ("queued", 1, "crashed")
    assert claimed(claim.job_id).fence == claim.fence + 1


def test_the_third_crash_is_the_last() -> None:
    job_id = submitted()
    for _ in range(3):
        in_transaction(jobs.release, claimed(job_id), crashed=True, error=CRASH)
    job = row(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert "3 times" in job.error["message"]
    assert job.finished_at is not None


def test_a_run_that_gets_on_starts_its_count_of_crashes_anew() -> None:
    job_id = submitted()
    for step in (10, 20, 30, 40):
        claim = claimed(job_id)
        in_transaction(jobs.add_checkpoint, claim, step=step, key=f"k{step}", digest="d")
        in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert (row(job_id).state, row(job_id).crashes) == ("queued", 1)
    for _ in range(2):
        claim = claimed(job_id)
        in_transaction(jobs.add_checkpoint, claim, step=40, key="k40", digest="d")
        in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert row(job_id).state == "failed"


def test_the_error_of_an_earlier_attempt_does_not_stay_with_a_job_that_succeeds() -> None:
    job_id = submitted()
    in_transaction(jobs.release, claimed(job_id), crashed=False, error=CRASH)
    assert row(job_id).error == CRASH
    in_transaction(jobs.succeed, claimed(job_id))
    assert row(job_id).error is None


def test_a_drained_run_counts_no_crash_and_is_rung_again_at_once() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.release, claim, crashed=False)
    assert (row(claim.job_id).state, row(claim.job_id).crashes) == ("queued", 0)


def test_a_crashed_job_waits_before_its_bell_rings() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.release, claim, crashed=True, error=CRASH, delay_seconds=60)
    assert in_transaction(jobs.jobs_to_notify, messages_waiting=0) == []


def test_a_bell_that_rings_before_the_wait_is_over_is_not_answered() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.release, claim, crashed=True, error=CRASH, delay_seconds=60)
    assert in_transaction(jobs.claim, claim.job_id, worker="w") is None


def test_no_more_bells_are_rung_than_jobs_wait_unheard() -> None:
    ids = [submitted() for _ in range(4)]
    with transaction() as session:
        session.execute(update(Job).values(notify_at=clock(-1)))
    assert in_transaction(jobs.jobs_to_notify, messages_waiting=4) == []
    assert len(in_transaction(jobs.jobs_to_notify, messages_waiting=3)) == 1
    assert len(in_transaction(jobs.jobs_to_notify, messages_waiting=0)) == 3
    assert set(ids) == {row(job_id).id for job_id in ids}


def test_a_waiting_job_is_rung_again_ever_more_rarely() -> None:
    job_id = submitted()
    assert in_transaction(jobs.jobs_to_notify, messages_waiting=0) == []  # Its bell has just rung.
    pauses = []
    for _ in range(4):
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(notify_at=clock(-1)))
        assert in_transaction(jobs.jobs_to_notify, messages_waiting=0) == [job_id]
        with transaction() as session:
            notify_at, now = session.execute(select(Job.notify_at, clock())).one()
        pauses.append(round((notify_at - now).total_seconds()))
    assert pauses == [5, 10, 20, 40]


def test_a_reported_metric_is_a_point_an_event_and_the_latest_value() -> None:
    claim = claimed(submitted())
    for step in range(1, 11):
        in_transaction(jobs.report, claim, metrics={"train/loss": 1 / step}, step=step, progress={"step": step})
    assert row(claim.job_id).latest == {"train/loss": 0.1}
    assert row(claim.job_id).progress == {"step": 10}
    curve = in_transaction(job_events.metrics, claim.job_id)["train/loss"]
    assert curve == [(step, 1 / step) for step in range(1, 11)]
    assert in_transaction(job_events.metrics, claim.job_id, max_points=4)["train/loss"] == [
        curve[i] for i in (0, 3, 6, 9)
    ]
    assert in_transaction(job_events.metrics, claim.job_id, names=["other"]) == {}


def test_events_are_numbered_without_gaps_also_when_two_write_at_once() -> None:
    claim, gate = claimed(submitted()), threading.Barrier(2)

    def write() -> None:
        gate.wait()
        for _ in range(20):
            in_transaction(jobs.report, claim, events=[("log", {"message": "here"})])

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction() as session:
        numbers = session.scalars(select(Event.number).order_by(Event.number)).all()
        assert list(numbers) == list(range(1, 43))
        assert [event.number for event in job_events.events(session, claim.job_id, after=40, limit=10)] == [41, 42]


def test_the_last_two_checkpoints_are_kept_furthest_first() -> None:
    claim = claimed(submitted())
    outdated = [in_transaction(jobs.add_checkpoint, claim, step=step, key=f"k{step}", digest="d") for step in (1, 2, 3)]
    assert outdated == [[], [], ["k1"]]
    with transaction() as session:
        assert [kept.key for kept in jobs.checkpoints(session, claim.job_id)] == ["k3", "k2"]


def test_cancelling_a_queued_job_ends_it() -> None:
    job_id = submitted()
    assert in_transaction(jobs.cancel, job_id).state == "cancelled"
    assert in_transaction(jobs.claim, job_id, worker="w") is None


def test_cancelling_a_running_job_ends_it_when_its_run_is_gone() -> None:
    claim = claimed(submitted())
    assert in_transaction(jobs.cancel, claim.job_id).state == "running"
    assert in_transaction(jobs.heartbeat, claim).requested == "cancel"
    in_transaction(jobs.finish_cancelled, claim)
    assert row(claim.job_id).state == "cancelled"


def test_a_run_that_dies_after_a_cancel_is_cancelled_not_crashed() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.cancel, claim.job_id)
    in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert (row(claim.job_id).state, row(claim.job_id).crashes) == ("cancelled", 0)


def test_a_cancel_that_was_accepted_goes_before_a_finish() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.cancel, claim.job_id)
    assert in_transaction(jobs.succeed, claim, model=package()) is None
    assert row(claim.job_id).state == "cancelled"
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 0


def test_of_eight_that_finish_at_once_under_one_name_each_gets_its_own_version() -> None:
    claims, gate, made = [claimed(submitted()) for _ in range(8)], threading.Barrier(8), []

    def finish(claim: Claim) -> None:
        gate.wait()
        made.append(in_transaction(jobs.succeed, claim, model=package()).version)

    threads = [threading.Thread(target=finish, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 9))


def test_a_metric_that_is_no_number_is_kept_as_none() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.report, claim, metrics={"train/loss": float("nan")}, step=1, progress={"eta": float("inf")})
    assert in_transaction(job_events.metrics, claim.job_id) == {"train/loss": [(1, None)]}
    assert row(claim.job_id).latest == {"train/loss": None}


def test_never_both_cancelled_and_a_model() -> None:
    for _ in range(5):
        claim, gate = claimed(submitted()), threading.Barrier(2)

        def finish(claim: Claim = claim, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with contextlib.suppress(StaleClaim):
                in_transaction(jobs.succeed, claim, model=package())

        def cancel(claim: Claim = claim, gate: threading.Barrier = gate) -> None:
            gate.wait()
            with contextlib.suppress(StaleClaim):
                in_transaction(jobs.finish_cancelled, claim)

        threads = [threading.Thread(target=finish), threading.Thread(target=cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with transaction() as session:
            has_model = models.of_job(session, claim.job_id) is not None
        assert has_model == (row(claim.job_id).state == "succeeded")


def test_stopping_a_job_that_never_ran_cancels_it() -> None:
    job = in_transaction(jobs.stop, submitted())
    assert (job.state, job.reason) == ("cancelled", "stopped before it started")


def test_stopping_a_job_that_waits_with_a_checkpoint_lets_it_finish() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.add_checkpoint, claim, step=1, key="k", digest="d")
    in_transaction(jobs.release, claim, crashed=False)
    assert in_transaction(jobs.stop, claim.job_id).state == "queued"
    assert claimed(claim.job_id).requested == "stop"


def test_a_paused_job_is_neither_claimed_nor_rung_until_resumed() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.pause, claim.job_id)
    in_transaction(jobs.release, claim, crashed=False)
    assert (row(claim.job_id).state, row(claim.job_id).reason) == ("queued", "paused")
    assert in_transaction(jobs.claim, claim.job_id, worker="w") is None
    with transaction() as session:
        session.execute(update(Job).values(notify_at=clock(-1)))
    assert in_transaction(jobs.jobs_to_notify, messages_waiting=0) == []
    in_transaction(jobs.resume, claim.job_id)
    assert claimed(claim.job_id).requested is None


@pytest.mark.parametrize("verb", ["cancel", "stop", "pause", "resume"])
def test_an_ended_job_refuses_every_verb(verb: str) -> None:
    claim = claimed(submitted())
    in_transaction(jobs.succeed, claim)
    with pytest.raises(Conflict, match="succeeded"):
        in_transaction(getattr(jobs, verb), claim.job_id)
    assert row(claim.job_id).state == "succeeded"


def test_a_cancel_cannot_be_softened() -> None:
    claim = claimed(submitted())
    in_transaction(jobs.cancel, claim.job_id)
    for soften in (jobs.stop, jobs.pause, jobs.resume):
        with pytest.raises(Conflict):
            in_transaction(soften, claim.job_id)
    assert row(claim.job_id).requested == "cancel"


def test_an_unknown_job_is_not_found() -> None:
    for verb in (jobs.get, jobs.cancel, jobs.stop, jobs.pause, jobs.resume):
        with pytest.raises(NotFound, match="job_0"):
            in_transaction(verb, "job_0")


def test_pages_hold_every_job_once_newest_first_while_others_come() -> None:
    ids = [submitted() for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = in_transaction(jobs.listing, states=None, kinds=None, limit=2, cursor=cursor)
        seen += [job.id for job in page.items]
        submitted()
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(ids, reverse=True)


def test_validations_are_listed_only_when_asked_for() -> None:
    in_transaction(jobs.submit, kind="validate", spec={})
    assert in_transaction(jobs.listing, states=None, kinds=None, limit=5, cursor=None).items == []
    assert len(in_transaction(jobs.listing, states=["queued"], kinds=["validate"], limit=5, cursor=None).items) == 1
