"""The state machine of jobs, with SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.exc import InvalidRequestError

from store import job_events, jobs, models
from store.database import engine, reading, transaction
from store.errors import Conflict, NotFound, StaleClaim
from store.ids import new_id
from store.jobs import Claim
from store.models import NewModel
from store.tables import Event, Job, JobKind, Lane, Model, clock

pytestmark = pytest.mark.usefixtures("database")

CRASH = {"code": "crashed", "message": "the run crashed", "hint": None, "user_fault": False}


def submit_job() -> str:
    with transaction() as session:
        return jobs.submit(session, kind=JobKind.FINETUNE, spec={"seed": 0}, model_name="digits").id


def claim_job(job_id: str) -> Claim:
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="w")
    assert claim is not None
    return claim


def get_job(job_id: str) -> Job:
    with transaction() as session:
        return jobs.get(session, job_id)


def make_model(name: str = "digits") -> NewModel:
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


def expire_lease(job_id: str) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=clock(-1)))


def states(job_id: str) -> list[str]:
    with transaction() as session:
        return [event.data["state"] for event in job_events.events(session, job_id, limit=100) if event.kind == "state"]


def test_a_submitted_job_is_queued_and_has_an_event() -> None:
    job = get_job(submit_job())
    assert (job.state, job.fence, job.crashes, job.requested) == ("queued", 0, 0, None)
    assert states(job.id) == ["queued"]


def test_a_second_claim_gets_nothing() -> None:
    job_id = submit_job()
    claim_job(job_id)
    assert in_transaction(jobs.claim, job_id, worker="other") is None


def test_one_of_sixteen_concurrent_claims_succeeds() -> None:
    job_id, claims, barrier = submit_job(), [], threading.Barrier(16)

    def try_to_claim() -> None:
        barrier.wait()
        if (claim := in_transaction(jobs.claim, job_id, worker="w")) is not None:
            claims.append(claim)

    threads = [threading.Thread(target=try_to_claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.fence for claim in claims] == [1]


def test_a_run_ends_with_its_model_in_one_transaction() -> None:
    claim = claim_job(submit_job())
    model = in_transaction(jobs.succeed, claim, model=make_model(), report={"rows": 3}, reason="completed")
    job = get_job(claim.job_id)
    assert (job.state, job.reason, job.report, job.lease_until) == ("succeeded", "completed", {"rows": 3}, None)
    assert (model.name, model.version, model.job_id) == ("digits", 1, claim.job_id)
    assert states(claim.job_id) == ["queued", "running", "succeeded"]


def test_a_model_that_cannot_be_registered_leaves_its_job_running() -> None:
    first, second = claim_job(submit_job()), claim_job(submit_job())
    new_model = make_model()
    in_transaction(jobs.succeed, first, model=new_model)
    with pytest.raises(Exception, match=r"(?i)unique"):
        in_transaction(jobs.succeed, second, model=new_model)
    assert get_job(second.job_id).state == "running"


STALE: dict[str, Callable[[Claim], Any]] = {
    "heartbeat": lambda claim: in_transaction(jobs.heartbeat, claim),
    "report": lambda claim: in_transaction(jobs.report, claim, metrics={"train/loss": 1.0}, step=1),
    "add_checkpoint": lambda claim: in_transaction(jobs.add_checkpoint, claim, step=1, key="k", digest="d"),
    "succeed": lambda claim: in_transaction(jobs.succeed, claim, model=make_model()),
    "fail": lambda claim: in_transaction(jobs.fail, claim, error=CRASH),
    "finish_cancelled": lambda claim: in_transaction(jobs.finish_cancelled, claim),
    "release": lambda claim: in_transaction(jobs.release, claim, crashed=False),
}


@pytest.mark.parametrize("write", STALE.values(), ids=STALE)
def test_a_run_with_a_stale_claim_writes_nothing(write: Callable[[Claim], Any]) -> None:
    stale = claim_job(submit_job())
    expire_lease(stale.job_id)
    assert in_transaction(jobs.requeue_expired) == [stale.job_id]
    current = claim_job(stale.job_id)
    before = get_job(stale.job_id)
    with pytest.raises(StaleClaim):
        write(stale)
    after = get_job(stale.job_id)
    assert (after.state, after.fence, after.latest, after.events) == ("running", current.fence, None, before.events)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 0
        assert jobs.checkpoints(session, stale.job_id) == []


def test_a_lost_worker_counts_as_a_crash_and_its_job_is_queued_again() -> None:
    claim = claim_job(submit_job())
    assert in_transaction(jobs.requeue_expired) == []
    expire_lease(claim.job_id)
    assert in_transaction(jobs.requeue_expired) == [claim.job_id]
    job = get_job(claim.job_id)
    assert (job.state, job.crashes, job.reason) == ("queued", 1, "crashed")
    assert claim_job(claim.job_id).fence == claim.fence + 1


def test_a_crash_says_where_the_job_continues_and_what_it_repeats() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.add_checkpoint, claim, step=9, key="k", digest="d")
    in_transaction(jobs.report, claim, progress={"step": 16, "steps": 40})
    expire_lease(claim.job_id)
    in_transaction(jobs.requeue_expired)
    error = get_job(claim.job_id).error
    assert error is not None
    assert error["message"] == "the worker ended, or was cut off, before the job was done"
    assert error["hint"] == (
        "The job continues by itself from step 9. The 7 steps after it were not saved, and are repeated."
    )
    fresh = claim_job(submit_job())
    in_transaction(jobs.release, fresh, crashed=True, error=CRASH)
    assert get_job(fresh.job_id).error == CRASH | {"hint": "The job starts again by itself."}


def test_the_third_crash_is_the_last() -> None:
    job_id = submit_job()
    for _ in range(3):
        in_transaction(jobs.release, claim_job(job_id), crashed=True, error=CRASH)
    job = get_job(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert "3 times" in job.error["message"]
    assert job.finished_at is not None


def test_progress_resets_the_count_of_crashes() -> None:
    job_id = submit_job()
    for step in (10, 20, 30, 40):
        claim = claim_job(job_id)
        in_transaction(jobs.add_checkpoint, claim, step=step, key=f"k{step}", digest="d")
        in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert (get_job(job_id).state, get_job(job_id).crashes) == ("queued", 1)
    for _ in range(2):
        claim = claim_job(job_id)
        in_transaction(jobs.add_checkpoint, claim, step=40, key="k40", digest="d")
        in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert get_job(job_id).state == "failed"


def test_success_clears_the_error_of_an_earlier_attempt() -> None:
    job_id = submit_job()
    in_transaction(jobs.release, claim_job(job_id), crashed=False, error=CRASH)
    assert get_job(job_id).error == CRASH
    in_transaction(jobs.succeed, claim_job(job_id))
    assert get_job(job_id).error is None


def test_a_drained_run_does_not_count_as_a_crash() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.release, claim, crashed=False)
    assert (get_job(claim.job_id).state, get_job(claim.job_id).crashes) == ("queued", 0)


def test_workers_are_not_notified_of_a_crashed_job_during_its_delay() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.release, claim, crashed=True, error=CRASH, delay_seconds=60)
    assert in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=0) == []


def test_a_crashed_job_cannot_be_claimed_during_its_delay() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.release, claim, crashed=True, error=CRASH, delay_seconds=60)
    assert in_transaction(jobs.claim, claim.job_id, worker="w") is None


def test_no_more_notifications_are_sent_than_jobs_lack_a_message() -> None:
    ids = [submit_job() for _ in range(4)]
    with transaction() as session:
        session.execute(update(Job).values(notify_at=clock(-1)))
    assert in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=4) == []
    assert len(in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=3)) == 1
    assert len(in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=0)) == 3
    assert set(ids) == {get_job(job_id).id for job_id in ids}


def test_the_delay_between_notifications_doubles() -> None:
    job_id = submit_job()
    assert (
        in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=0) == []
    )  # It has just been notified of.
    delays = []
    for _ in range(4):
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(notify_at=clock(-1)))
        assert in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=0) == [job_id]
        with transaction() as session:
            notify_at, now = session.execute(select(Job.notify_at, clock())).one()
        delays.append(round((notify_at - now).total_seconds()))
    assert delays == [5, 10, 20, 40]


def test_a_reported_metric_is_a_point_an_event_and_the_latest_value() -> None:
    claim = claim_job(submit_job())
    for step in range(1, 11):
        in_transaction(jobs.report, claim, metrics={"train/loss": 1 / step}, step=step, progress={"step": step})
    assert get_job(claim.job_id).latest == {"train/loss": 0.1}
    assert get_job(claim.job_id).progress == {"step": 10}
    curve = in_transaction(job_events.metrics, claim.job_id)["train/loss"]
    assert curve == [(step, 1 / step) for step in range(1, 11)]
    assert in_transaction(job_events.metrics, claim.job_id, max_points=4)["train/loss"] == [
        curve[i] for i in (0, 3, 6, 9)
    ]
    assert in_transaction(job_events.metrics, claim.job_id, names=["other"]) == {}


def test_concurrent_events_are_numbered_without_gaps() -> None:
    claim, barrier = claim_job(submit_job()), threading.Barrier(2)

    def write() -> None:
        barrier.wait()
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


def test_the_last_two_checkpoints_remain_the_furthest_first() -> None:
    claim = claim_job(submit_job())
    outdated = [in_transaction(jobs.add_checkpoint, claim, step=step, key=f"k{step}", digest="d") for step in (1, 2, 3)]
    assert outdated == [[], [], ["k1"]]
    with transaction() as session:
        assert [checkpoint.key for checkpoint in jobs.checkpoints(session, claim.job_id)] == ["k3", "k2"]


def test_cancelling_a_queued_job_ends_it() -> None:
    job_id = submit_job()
    assert in_transaction(jobs.cancel, job_id).state == "cancelled"
    assert in_transaction(jobs.claim, job_id, worker="w") is None


def test_cancelling_a_running_job_ends_it_once_its_process_has_ended() -> None:
    claim = claim_job(submit_job())
    assert in_transaction(jobs.cancel, claim.job_id).state == "running"
    assert in_transaction(jobs.heartbeat, claim).requested == "cancel"
    in_transaction(jobs.finish_cancelled, claim)
    assert get_job(claim.job_id).state == "cancelled"


def test_a_run_that_crashes_after_a_cancellation_is_cancelled() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.cancel, claim.job_id)
    in_transaction(jobs.release, claim, crashed=True, error=CRASH)
    assert (get_job(claim.job_id).state, get_job(claim.job_id).crashes) == ("cancelled", 0)


def test_an_accepted_cancellation_precedes_success() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.cancel, claim.job_id)
    assert in_transaction(jobs.succeed, claim, model=make_model()) is None
    assert get_job(claim.job_id).state == "cancelled"
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 0


def test_eight_concurrent_jobs_under_one_name_register_eight_versions() -> None:
    claims, barrier, versions = [claim_job(submit_job()) for _ in range(8)], threading.Barrier(8), []

    def finish(claim: Claim) -> None:
        barrier.wait()
        versions.append(in_transaction(jobs.succeed, claim, model=make_model()).version)

    threads = [threading.Thread(target=finish, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 9))


def test_a_metric_that_is_not_finite_is_stored_as_none() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.report, claim, metrics={"train/loss": float("nan")}, step=1, progress={"eta": float("inf")})
    assert in_transaction(job_events.metrics, claim.job_id) == {"train/loss": [(1, None)]}
    assert get_job(claim.job_id).latest == {"train/loss": None}


def test_a_cancelled_job_never_has_a_model() -> None:
    for _ in range(5):
        claim, barrier = claim_job(submit_job()), threading.Barrier(2)

        def finish(claim: Claim = claim, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(StaleClaim):
                in_transaction(jobs.succeed, claim, model=make_model())

        def cancel(claim: Claim = claim, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(StaleClaim):
                in_transaction(jobs.finish_cancelled, claim)

        threads = [threading.Thread(target=finish), threading.Thread(target=cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with transaction() as session:
            has_model = models.of_job(session, claim.job_id) is not None
        assert has_model == (get_job(claim.job_id).state == "succeeded")


def test_stopping_a_job_that_never_ran_cancels_it() -> None:
    job = in_transaction(jobs.stop, submit_job())
    assert (job.state, job.reason) == ("cancelled", "stopped before it started")


def test_stopping_a_queued_job_with_a_checkpoint_lets_it_finish() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.add_checkpoint, claim, step=1, key="k", digest="d")
    in_transaction(jobs.release, claim, crashed=False)
    assert in_transaction(jobs.stop, claim.job_id).state == "queued"
    assert claim_job(claim.job_id).requested == "stop"


def test_a_paused_job_is_neither_claimed_nor_notified_of_until_resumed() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.pause, claim.job_id)
    in_transaction(jobs.release, claim, crashed=False)
    assert (get_job(claim.job_id).state, get_job(claim.job_id).reason) == ("queued", "paused")
    assert in_transaction(jobs.claim, claim.job_id, worker="w") is None
    with transaction() as session:
        session.execute(update(Job).values(notify_at=clock(-1)))
    assert in_transaction(jobs.jobs_to_notify, Lane.COMPUTING, messages_waiting=0) == []
    in_transaction(jobs.resume, claim.job_id)
    assert claim_job(claim.job_id).requested is None


@pytest.mark.parametrize("verb", ["cancel", "stop", "pause", "resume"])
def test_an_ended_job_rejects_every_request(verb: str) -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.succeed, claim)
    with pytest.raises(Conflict, match="succeeded"):
        in_transaction(getattr(jobs, verb), claim.job_id)
    assert get_job(claim.job_id).state == "succeeded"


def test_no_request_overrides_a_cancellation() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.cancel, claim.job_id)
    for request in (jobs.stop, jobs.pause, jobs.resume):
        with pytest.raises(Conflict):
            in_transaction(request, claim.job_id)
    assert get_job(claim.job_id).requested == "cancel"


def test_an_unknown_job_is_not_found() -> None:
    for verb in (jobs.get, jobs.cancel, jobs.stop, jobs.pause, jobs.resume):
        with pytest.raises(NotFound, match="job_0"):
            in_transaction(verb, "job_0")


def test_pages_list_every_job_once_while_others_are_submitted() -> None:
    ids = [submit_job() for _ in range(5)]
    listed, cursor = [], None
    while True:
        page = in_transaction(jobs.listing, limit=2, cursor=cursor)
        listed += [job.id for job in page.items]
        submit_job()
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == sorted(ids, reverse=True)


def test_validations_are_listed_only_on_request() -> None:
    in_transaction(jobs.submit, kind=JobKind.VALIDATE, spec={})
    assert in_transaction(jobs.listing, limit=5, cursor=None).items == []
    matching = jobs.JobFilter(states=["queued"], kinds=[JobKind.VALIDATE])
    assert len(in_transaction(jobs.listing, matching=matching, limit=5, cursor=None).items) == 1


def test_a_list_of_jobs_has_their_warnings_but_reads_no_report() -> None:
    claim = claim_job(submit_job())
    report = {"metrics": {}, "warnings": ["worse than the baseline"]}
    in_transaction(jobs.succeed, claim, report=report)
    with reading() as session:
        row = jobs.listing(session, limit=1, cursor=None).items[0]
        assert row.warnings == ["worse than the baseline"]
        with pytest.raises(InvalidRequestError):
            _ = row.report
    with reading() as session:
        assert jobs.listing(session, limit=1, cursor=None, with_reports=True).items[0].report == report


def test_no_page_of_jobs_sorts_all_jobs() -> None:
    if engine().dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by statistics, which an empty table has not")
    plans: list[str] = []

    def explain(connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT job.id"):
            cursor = connection.connection.cursor()  # type: ignore[attr-defined]
            plans.extend(row[3] for row in cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters))

    event.listen(engine(), "before_cursor_execute", explain)
    try:
        with reading() as session:
            jobs.listing(session, limit=50, cursor=None)
            jobs.listing(session, limit=50, cursor=None, matching=jobs.JobFilter(kinds=["finetune"]))
    finally:
        event.remove(engine(), "before_cursor_execute", explain)
    assert plans
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]
