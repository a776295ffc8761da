"""The state machine of jobs. Every change of a job's state is one of these functions.

    queued   claim -> running, cancel -> cancelled
    running  succeed -> succeeded, fail -> failed, cancelled -> cancelled,
             release -> queued (after the last crash allowed: failed)

Each function works in its caller's transaction. A write of a run is conditional on (id, fence, running): where it finds
no row the run is another's by now, and `StaleClaim` says so. Final states never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import and_, func, or_, select, update

from store import notifications
from store.database import after_commit, changed
from store.errors import Conflict, NotFound, StaleClaim
from store.ids import new_id
from store.job_events import finite, keep_points, record
from store.models import NewModel, register
from store.pagination import Page, newest_first
from store.settings import store_settings
from store.tables import FINAL_STATES, Checkpoint, Dataset, Job, Model, clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

VALIDATE = "validate"
"""The kind of the job that validates a dataset; not listed unless asked for."""
IMPORT = "import"
"""The kind of the job that makes a model of an upload."""
KEPT_CHECKPOINTS = 2
FIRST_RING_AGAIN_SECONDS = 5.0
LONGEST_RING_AGAIN_SECONDS = 60.0
MOST_RINGS_AT_ONCE = 100

Request = Literal["cancel", "stop", "pause"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a job: valid while the job is running under this fence."""

    job_id: str
    fence: int
    kind: str
    spec: dict[str, Any]
    dataset_id: str | None
    model_name: str | None
    crashes: int
    requested: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the job was asked to do meanwhile."""

    requested: str | None


def submit(
    session: Session,
    *,
    kind: str,
    spec: Mapping[str, Any],
    dataset_id: str | None = None,
    model_name: str | None = None,
) -> Job:
    """A queued job; its bell is rung after the commit."""
    job = Job(
        id=new_id("job"),
        kind=kind,
        spec=dict(spec),
        dataset_id=dataset_id,
        model_name=model_name,
        next_ring_at=clock(FIRST_RING_AGAIN_SECONDS),
    )
    session.add(job)
    session.flush()
    record(session, job.id, ("state", {"state": "queued"}))
    session.refresh(job)
    _ring_after_commit(session, job.id)
    return job


def get(session: Session, job_id: str) -> Job:
    """Raises `NotFound`."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise NotFound("job", job_id)
    return job


def listing(
    session: Session, *, states: Sequence[str] | None, kinds: Sequence[str] | None, limit: int, cursor: str | None
) -> Page[Job]:
    """Newest first; validations only where their kind is asked for."""
    query = select(Job).where(Job.kind.in_(kinds) if kinds else Job.kind != VALIDATE)
    if states:
        query = query.where(Job.state.in_(states))
    return newest_first(session, query, Job.id, limit=limit, cursor=cursor)


def needs_blob(session: Session, key: str) -> bool:
    """Whether a model is still to be imported from what lies under `key`."""
    waiting = select(Job.spec).where(Job.kind == IMPORT, Job.state.in_(("queued", "running")))
    sources = [spec["source"]["key"] for spec in session.scalars(waiting) if "source" in spec]
    return any(source.startswith(f"{key}/") for source in sources)


def counts(session: Session) -> dict[str, int]:
    """Jobs by state."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    return {row[0]: row[1] for row in rows}


# What a worker does with a job.


def claim(session: Session, job_id: str, *, worker: str) -> Claim | None:
    """queued -> running. Of many callers one gets it; the others, and those who come for a paused job, get None."""
    won = changed(
        session,
        update(Job)
        .where(Job.id == job_id, Job.state == "queued", _not_paused(), _not_too_early())
        .values(
            state="running",
            reason=None,
            fence=Job.fence + 1,
            worker=worker,
            lease_until=clock(store_settings().lease_seconds),
            started_at=func.coalesce(Job.started_at, clock()),
            not_before=None,
            rings=0,
        ),
    )
    if not won:
        return None
    job = get(session, job_id)
    if job.kind == VALIDATE:
        session.execute(update(Dataset).where(Dataset.id == job.dataset_id).values(state="validating"))
    record(session, job_id, ("state", {"state": "running", "attempt": job.fence}))
    return _claim_of(job)


def claimed(session: Session, job_id: str, fence: int) -> Claim:
    """The claim that a run was started under; raises `StaleClaim` when it is no longer good."""
    job = session.scalar(select(Job).where(_held(job_id, fence)))
    if job is None:
        raise StaleClaim(job_id)
    return _claim_of(job)


def heartbeat(session: Session, claim: Claim) -> Heartbeat:
    """Renew the lease, and learn what was asked for."""
    _write(session, claim, lease_until=clock(store_settings().lease_seconds))
    return Heartbeat(session.scalar(select(Job.requested).where(Job.id == claim.job_id)))


def report(
    session: Session,
    claim: Claim,
    *,
    progress: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float | None] | None = None,
    step: int | None = None,
    events: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> None:
    """What happened since the last report; a metric point needs its `step`."""
    values: dict[str, Any] = {}
    metrics = {name: finite(value) for name, value in (metrics or {}).items()}
    if progress is not None:
        progress = {name: finite(value) for name, value in progress.items()}
        values["progress"] = progress
    if metrics:
        latest = session.scalar(select(Job.latest).where(Job.id == claim.job_id))
        values["latest"] = {**(latest or {}), **metrics}
    # Written even where nothing is new: the condition is what tells a run that it was fenced off.
    _write(session, claim, **(values or {"lease_until": Job.lease_until}))
    entries: list[tuple[str, Mapping[str, Any]]] = list(events)
    if metrics and step is not None:
        keep_points(session, claim.job_id, metrics, step=step)
        entries.append(("metric", {"step": step, **metrics}))
    if progress is not None:
        entries.append(("progress", progress))
    record(session, claim.job_id, *entries)


def checkpointed(session: Session, claim: Claim, *, step: int, key: str, digest: str) -> list[str]:
    """Remember a published checkpoint; returns the keys of those that are no longer needed."""
    furthest = session.scalar(select(func.max(Checkpoint.step)).where(Checkpoint.job_id == claim.job_id))
    # Crashes are counted against a run that does not get on: three in a week of good work are no verdict.
    gets_on = {"crashes": 0} if step > (furthest or 0) else {}
    _write(session, claim, lease_until=clock(store_settings().lease_seconds), **gets_on)
    session.merge(Checkpoint(job_id=claim.job_id, fence=claim.fence, step=step, key=key, digest=digest))
    session.flush()
    record(session, claim.job_id, ("checkpoint", {"step": step}))
    outdated = checkpoints(session, claim.job_id)[KEPT_CHECKPOINTS:]
    for checkpoint in outdated:
        session.delete(checkpoint)
    return [checkpoint.key for checkpoint in outdated]


def checkpoints(session: Session, job_id: str) -> Sequence[Checkpoint]:
    """Furthest first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return session.scalars(query.order_by(Checkpoint.step.desc(), Checkpoint.fence.desc())).all()


def succeed(
    session: Session,
    claim: Claim,
    *,
    model: NewModel | None = None,
    report: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> Model | None:
    """running -> succeeded and the model's birth, in one transaction; a cancel that was accepted goes before."""
    if _is_cancelled(session, claim):
        cancelled(session, claim)
        return None
    _end(session, claim, "succeeded", reason=reason, report=dict(report) if report is not None else None)
    return register(session, model, job_id=claim.job_id, dataset_id=claim.dataset_id) if model else None


def finish_validation(
    session: Session,
    claim: Claim,
    *,
    ready: bool,
    report: dict[str, Any],
    summary: dict[str, Any] | None,
    key: str,
    size: int,
) -> None:
    """The verdict on a dataset: its row and its job end together. A rejected dataset is no failure of the job."""
    if _is_cancelled(session, claim):
        cancelled(session, claim)
        return
    _end(session, claim, "succeeded", reason="ready" if ready else "rejected")
    values: dict[str, Any] = {"report": report, "summary": summary}
    if ready:
        values |= {"state": "ready", "key": key, "bytes": size}
    else:
        found = ", ".join(item["code"] for item in report.get("errors", ()) if item.get("severity") == "error")
        message = f"the data was rejected: {found or 'see the report'}"
        hint = "Read the dataset's report: it lists everything that was found, and where. Then upload it again."
        values |= {"state": "rejected", "error": {"code": "rejected", "message": message, "hint": hint}}
    session.execute(update(Dataset).where(Dataset.id == claim.dataset_id).values(**values))


def fail(session: Session, claim: Claim, *, error: Mapping[str, Any]) -> None:
    """running -> failed, for good."""
    _end(session, claim, "failed", error=dict(error))
    _reject_dataset(session, claim.kind, claim.dataset_id, error)


def cancelled(session: Session, claim: Claim) -> None:
    """running -> cancelled, once the run is really gone."""
    reason = "cancelled by request"
    _end(session, claim, "cancelled", reason=reason)
    _reject_dataset(session, claim.kind, claim.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def release(
    session: Session, claim: Claim, *, crashed: bool, error: Mapping[str, Any] | None = None, delay_seconds: float = 0
) -> None:
    """running -> queued, to go on from the last checkpoint; after the last crash allowed -> failed."""
    if not _is_held(session, claim.job_id, claim.fence):
        raise StaleClaim(claim.job_id)
    _release(session, get(session, claim.job_id), crashed=crashed, error=error, delay_seconds=delay_seconds)


# What the reconciler does.


def requeue_expired(session: Session) -> list[str]:
    """Take back the runs whose worker fell silent; each counts as a crash."""
    query = select(Job).where(Job.state == "running", Job.lease_until < clock()).with_for_update(skip_locked=True)
    silent = session.scalars(query).all()
    for job in silent:
        error = {"code": "worker_lost", "message": "the worker fell silent", "hint": None, "user_fault": False}
        _release(session, job, crashed=True, error=error, delay_seconds=0)
    return [job.id for job in silent]


def jobs_to_notify(session: Session, *, messages_waiting: int) -> list[str]:
    """The queued jobs whose bell should ring now; the pause before each one's next ring grows.

    `messages_waiting` are in the broker already, heard by nobody yet: there is no use in more of them than jobs, so
    that a long queue of jobs does not flood the broker, and an emptied broker is filled again.
    """
    waits = and_(Job.state == "queued", _not_paused(), _not_too_early())
    unheard = (session.scalar(select(func.count()).select_from(Job).where(waits)) or 0) - messages_waiting
    if unheard <= 0:
        return []
    query = (
        select(Job)
        .where(waits, Job.next_ring_at <= clock())
        .order_by(Job.next_ring_at)
        .limit(min(unheard, MOST_RINGS_AT_ONCE))
        .with_for_update(skip_locked=True)
    )
    jobs = session.scalars(query).all()
    for job in jobs:
        pause_seconds = min(FIRST_RING_AGAIN_SECONDS * 2**job.rings, LONGEST_RING_AGAIN_SECONDS)
        session.execute(
            update(Job).where(Job.id == job.id).values(rings=Job.rings + 1, next_ring_at=clock(pause_seconds))
        )
    return [job.id for job in jobs]


# What a user asks for.


def cancel(session: Session, job_id: str) -> Job:
    """Keep nothing: at once where it is queued, as soon as the run is gone where it is running."""
    job = _open(session, job_id, "cancelled")
    if job.state == "queued":
        _cancel_queued(session, job, "cancelled by request")
    else:
        _ask(session, job, "cancel")
    return get(session, job_id)


def stop(session: Session, job_id: str) -> Job:
    """End now and keep the best so far; a job that has nothing yet is cancelled."""
    job = _open(session, job_id, "stopped")
    if job.requested == "cancel":
        raise Conflict(f"{job_id} is being cancelled")
    if job.state == "queued" and not checkpoints(session, job_id):
        _cancel_queued(session, job, "stopped before it started")
    else:
        _ask(session, job, "stop")
        _wake(session, job)
    return get(session, job_id)


def pause(session: Session, job_id: str) -> Job:
    """Leave after a checkpoint, and wait for `resume`."""
    job = _open(session, job_id, "paused")
    if job.requested in ("cancel", "stop"):
        raise Conflict(f"{job_id} was asked to {job.requested}, which comes first")
    _ask(session, job, "pause")
    return get(session, job_id)


def resume(session: Session, job_id: str) -> Job:
    """Go on from where it was paused."""
    job = _open(session, job_id, "resumed")
    if job.requested != "pause":
        raise Conflict(f"{job_id} is not paused; it is {job.state}")
    _ask(session, job, None)
    _wake(session, job)
    return get(session, job_id)


def _not_paused() -> ColumnElement[bool]:
    return or_(Job.requested.is_(None), Job.requested != "pause")


def _not_too_early() -> ColumnElement[bool]:
    return or_(Job.not_before.is_(None), Job.not_before <= clock())


def _held(job_id: str, fence: int) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.fence == fence, Job.state == "running")


def _is_held(session: Session, job_id: str, fence: int) -> bool:
    return session.scalar(select(Job.id).where(_held(job_id, fence)).with_for_update()) is not None


def _is_cancelled(session: Session, claim: Claim) -> bool:
    query = select(Job.requested).where(_held(claim.job_id, claim.fence)).with_for_update()
    return session.scalar(query) == "cancel"


def _claim_of(job: Job) -> Claim:
    return Claim(job.id, job.fence, job.kind, job.spec, job.dataset_id, job.model_name, job.crashes, job.requested)


def _write(session: Session, claim: Claim, **values: Any) -> None:
    if not changed(session, update(Job).where(_held(claim.job_id, claim.fence)).values(**values)):
        raise StaleClaim(claim.job_id)


def _end(session: Session, claim: Claim, state: str, **values: Any) -> None:
    values = {"reason": None, "error": None, **values}
    ended = {"state": state, "requested": None, "worker": None, "lease_until": None, "finished_at": clock()}
    _write(session, claim, **ended, **values)
    record(session, claim.job_id, ("state", _told(state, values["reason"], values.get("error"))))


def _release(
    session: Session, job: Job, *, crashed: bool, error: Mapping[str, Any] | None, delay_seconds: float
) -> None:
    """The caller holds the row."""
    if job.requested == "cancel":
        cancelled(session, _claim_of(job))
        return
    crashes = job.crashes + crashed
    most = store_settings().max_crashes
    if crashed and crashes >= most:
        last = dict(error or {"code": "crashed", "message": "the run died", "hint": None, "user_fault": False})
        last["message"] = f"{last['message']} ({crashes} times; not tried again)"
        _end(session, _claim_of(job), "failed", error=last, crashes=crashes)
        _reject_dataset(session, job.kind, job.dataset_id, last)
        return
    reason = "crashed" if crashed else ("paused" if job.requested == "pause" else "left by its worker")
    _write(
        session,
        _claim_of(job),
        state="queued",
        reason=reason,
        crashes=crashes,
        worker=None,
        lease_until=None,
        error=dict(error) if error else None,
        rings=0,
        not_before=clock(delay_seconds) if delay_seconds else None,
        next_ring_at=clock(delay_seconds or FIRST_RING_AGAIN_SECONDS),
    )
    record(session, job.id, ("state", _told("queued", reason, error)))
    if delay_seconds == 0 and job.requested != "pause":
        _ring_after_commit(session, job.id)


def _told(state: str, reason: str | None, error: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"state": state} | ({"reason": reason} if reason else {}) | ({"error": dict(error)} if error else {})


def _reject_dataset(session: Session, kind: str, dataset_id: str | None, error: Mapping[str, Any]) -> None:
    if kind == VALIDATE:
        session.execute(update(Dataset).where(Dataset.id == dataset_id).values(state="rejected", error=dict(error)))


def _open(session: Session, job_id: str, verb: str) -> Job:
    """The row, locked, unless it has ended."""
    job = session.scalar(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    )
    if job is None:
        raise NotFound("job", job_id)
    if job.state in FINAL_STATES:
        raise Conflict(f"{job_id} cannot be {verb}: it has ended and is {job.state}")
    return job


def _cancel_queued(session: Session, job: Job, reason: str) -> None:
    session.execute(
        update(Job)
        .where(Job.id == job.id, Job.state == "queued")
        .values(state="cancelled", reason=reason, requested=None, finished_at=clock())
    )
    record(session, job.id, ("state", _told("cancelled", reason, None)))
    _reject_dataset(session, job.kind, job.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def _ask(session: Session, job: Job, request: Request | None) -> None:
    if job.requested == request:
        return
    session.execute(update(Job).where(Job.id == job.id).values(requested=request))
    record(session, job.id, ("state", {"state": job.state, "requested": request}))


def _wake(session: Session, job: Job) -> None:
    if job.state == "queued":
        session.execute(
            update(Job).where(Job.id == job.id).values(rings=0, next_ring_at=clock(FIRST_RING_AGAIN_SECONDS))
        )
        _ring_after_commit(session, job.id)


def _ring_after_commit(session: Session, job_id: str) -> None:
    """A dead broker costs latency, nothing else: the row says that its bell is due until a ring was heard."""
    after_commit(session, lambda: notifications.notify_if_possible(job_id))
