"""The state machine of jobs: claim with a job lease, renew it, finish, requeue.

Every change of a job's state is one of these functions.

    queued   claim -> running, cancel -> cancelled, dataset rejected -> failed
    running  suspend -> running without a lease, until its trials ring: claim -> running
    running  succeed -> succeeded, fail -> failed, finish_cancelled -> cancelled,
             release -> queued (after the last allowed crash: failed)

Each function works in its caller's transaction. A write of a run is conditional on (id, fence, running). If it matches
no row, the run has been given to another worker or has ended, and `StaleClaim` is raised. Final states never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import String, and_, cast, delete, func, or_, select, update
from sqlalchemy.orm import aliased, defer

from store import notifications
from store.database import after_commit, lock, update_rows
from store.errors import Conflict, NotFound, StaleClaim
from store.ids import new_id, version_number
from store.job_events import append_events, finite_or_none, save_metrics
from store.models import NewModel, of_job, register
from store.pagination import Page, newest_first
from store.queue import order
from store.queue.owner import current_owner
from store.queue.quotas import check_quotas
from store.settings import (
    FIRST_NOTIFY_DELAY_SECONDS,
    MAX_NOTIFICATIONS_PER_ROUND,
    MAX_NOTIFY_DELAY_SECONDS,
    store_settings,
)
from store.tables import (
    DATASET_KINDS,
    FINAL_STATES,
    PRIORITIES,
    ApiKey,
    Checkpoint,
    Dataset,
    Event,
    Job,
    JobKind,
    Lane,
    MetricPoint,
    Model,
    clock,
    lane_of,
)
from store.telemetry.current_span import current_span
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from store.tables import Priority

MAX_CHECKPOINTS = 2
#: A sweep whose trials never ring is looked at again after this time.
MAX_SUSPENSION_SECONDS = 600.0

#: Filter of a list: queued jobs that a user has paused.
PAUSED = "paused"

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
    #: The sweep of which the job is a trial, and its number.
    parent_id: str | None = None
    trial: int | None = None
    #: Span that caused the job; see `Job.traceparent`.
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The request of a user, if any."""

    requested: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Conditions of a list of jobs; None does not restrict it."""

    #: States, and `PAUSED`.
    states: Sequence[str] | None = None
    #: Without kinds, those that make datasets are left out.
    kinds: Sequence[str] | None = None
    #: `name` of the model that a job makes, or `name@3`, which one job made.
    model: str | None = None
    #: `name`, `name@2` or id of the dataset that a job reads.
    dataset: str | None = None
    #: Beginning of the id.
    id_prefix: str | None = None
    #: `name@3` of the model that a job evaluates.
    evaluates: str | None = None
    #: Name or id of the API key that submitted a job.
    owner: str | None = None
    #: Sweep whose trials are listed. Without it, and without an `id_prefix`, trials are left out.
    parent: str | None = None


def submit(
    session: Session,
    *,
    kind: str,
    spec: Mapping[str, Any],
    dataset_id: str | None = None,
    model_name: str | None = None,
    request: Mapping[str, Any] | None = None,
    origin_id: str | None = None,
    parent_id: str | None = None,
    trial: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    priority: Priority = "normal",
) -> Job:
    """Create a queued job of the current owner, and notify the workers after the commit.

    `parent_id` is the sweep of which it is a trial, with a number and `parameters` by path; owner and priority are
    those of the sweep. A job whose dataset is not ready is claimed once it is. Raises `QuotaReached`.
    """
    parent = session.get(Job, parent_id) if parent_id is not None else None
    if parent is None:
        check_quotas(session, current_owner.get())
    dataset = session.get(Dataset, dataset_id) if dataset_id and kind not in DATASET_KINDS else None
    is_waiting = dataset is not None and dataset.state != "ready"
    job = Job(
        id=new_id("job"),
        kind=kind,
        lane=lane_of(kind),
        owner_id=current_owner.get() if parent is None else parent.owner_id,
        priority=PRIORITIES.index(priority) if parent is None else parent.priority,
        spec=dict(spec),
        request=dict(request) if request else None,
        origin_id=origin_id,
        parent_id=parent_id,
        trial=trial,
        parameters=dict(parameters) if parameters is not None else None,
        traceparent=_traceparent(parent),
        dataset_id=dataset_id,
        model_name=model_name,
        reason=f"waiting for {dataset.name}@{dataset.version}" if dataset is not None and is_waiting else None,
        # Trials are submitted by a run, which has no broker: its supervisor notifies of them at once.
        notify_at=clock(FIRST_NOTIFY_DELAY_SECONDS if parent_id is None else 0),
    )
    session.add(job)
    session.flush()
    append_events(session, job.id, ("state", {"state": "queued"}))
    session.refresh(job)
    if (span := current_span.get()) is not None:
        span.annotate({"plinth.job.id": job.id})
    _notify_after_commit(session, job.id, job.lane)
    return job


def get(session: Session, job_id: str) -> Job:
    """Return a job; raises `NotFound`."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None or job.deleted_at is not None:
        raise NotFound("job", job_id)
    return job


def listing(
    session: Session,
    *,
    limit: int,
    cursor: str | None,
    matching: JobFilter | None = None,
    with_reports: bool = False,
) -> Page[Job]:
    """List jobs, newest first; those that make datasets only if the filter names their kind.

    Without `with_reports`, `Job.report` cannot be read: a report can have megabytes.
    """
    query = select(Job).where(*_conditions(matching or JobFilter()))
    if not with_reports:
        query = query.options(defer(Job.report, raiseload=True))
    return newest_first(session, query, Job.id, limit=limit, cursor=cursor)


def _conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Job.deleted_at.is_(None)]
    conditions.append(Job.kind.in_(matching.kinds) if matching.kinds else Job.kind.not_in(DATASET_KINDS))
    if matching.states:
        is_paused = and_(Job.state == "queued", Job.requested == "pause") if PAUSED in matching.states else None
        in_states = Job.state.in_([state for state in matching.states if state != PAUSED])
        conditions.append(in_states if is_paused is None else or_(in_states, is_paused))
    if matching.model is not None:
        name, _, number = matching.model.partition("@")
        conditions.append(Job.model_name == name)
        if number:
            version = select(Model.job_id).where(Model.name == name, Model.version == version_number(number))
            conditions.append(Job.id.in_(version))
    if matching.dataset is not None:
        name, _, number = matching.dataset.partition("@")
        is_version = [Dataset.version == version_number(number)] if number else []
        named = and_(Dataset.name == name, *is_version)
        conditions.append(Job.dataset_id.in_(select(Dataset.id).where(or_(Dataset.id == matching.dataset, named))))
    if matching.evaluates is not None:
        conditions += [Job.kind == JobKind.EVALUATE, Job.spec["model"].as_string() == matching.evaluates]
    if matching.owner is not None:
        keys = select(ApiKey.id).where(or_(ApiKey.id == matching.owner, ApiKey.name == matching.owner))
        conditions.append(Job.owner_id.in_(keys))
    if matching.parent is not None:
        conditions.append(Job.parent_id == matching.parent)
    elif matching.id_prefix is None:
        conditions.append(Job.parent_id.is_(None))
    if matching.id_prefix is not None:
        conditions.append(Job.id.startswith(matching.id_prefix, autoescape=True))
    return conditions


def count_by_state(session: Session, *, with_validations: bool = True) -> dict[str, int]:
    """Return the number of jobs in each state that has any."""
    query = select(Job.state, func.count()).where(Job.deleted_at.is_(None))
    if not with_validations:
        query = query.where(Job.kind.not_in(DATASET_KINDS))
    rows = session.execute(query.group_by(Job.state)).all()
    return {row[0]: row[1] for row in rows}


def queue_positions(session: Session, rows: Sequence[Job]) -> dict[str, int]:
    """Return the positions of jobs in the queue of their lane.

    1 is the job that starts next, by `store.queue.order`. A job that waits for no worker, but for its dataset or after
    a crash, has none.
    """
    ids: dict[str, list[str]] = {}
    for job in rows:
        if job.state == "queued":
            ids.setdefault(job.lane, []).append(job.id)
    conditions = _is_ready()
    parts = [order.positions(session, Lane(lane), conditions, job_ids) for lane, job_ids in ids.items()]
    return {job_id: position for part in parts for job_id, position in part.items()}


# Transitions made by a worker.


def claim(session: Session, job_id: str, *, worker: str) -> Claim | None:
    """Move a job from queued, or from being suspended, to running.

    One of several callers gets the claim, the others None. So do callers for a paused job, or before `not_before`.
    """
    claimed_rows = update_rows(
        session,
        update(Job)
        .where(
            Job.id == job_id,
            or_(Job.state == "queued", _is_suspended()),
            *_is_ready(),
        )
        .values(
            state="running",
            reason=None,
            fence=Job.fence + 1,
            worker=worker,
            lease_until=clock(store_settings().lease_seconds),
            started_at=func.coalesce(Job.started_at, clock()),
            not_before=None,
            notify_attempts=0,
        ),
    )
    if not claimed_rows:
        return None
    job = get(session, job_id)
    if job.kind in DATASET_KINDS:
        session.execute(update(Dataset).where(Dataset.id == job.dataset_id).values(state="validating"))
    append_events(session, job_id, ("state", {"state": "running", "attempt": job.fence}))
    return _claim_of(job)


def claim_next(
    session: Session, lane: Lane, *, worker: str, kinds: Collection[str], excluded_devices: Collection[int] = ()
) -> Claim | None:
    """Claim the first job of a lane; None if none is due.

    Only `kinds` are claimed, and no training on a number of `excluded_devices`.
    """
    # One claim at a time: two at once would both count the runs of an owner without the other one.
    lock(session, f"queue {lane}")
    conditions = [*_is_ready(), Job.kind.in_(kinds)]
    if excluded_devices:
        devices = func.coalesce(cast(Job.spec["devices"], String), "")
        conditions.append(devices.not_in([str(count) for count in excluded_devices]))
    while (job_id := order.next_job(session, lane, conditions)) is not None:
        # None for a job that was canceled or paused since it was read.
        if (claimed := claim(session, job_id, worker=worker)) is not None:
            return claimed
    return None


def get_claim(session: Session, job_id: str, fence: int) -> Claim:
    """Return the claim of a running job; raises `StaleClaim` if it is no longer valid."""
    job = session.scalar(select(Job).where(_is_held(job_id, fence)))
    if job is None:
        raise StaleClaim(job_id)
    return _claim_of(job)


def lock_claim(session: Session, claim: Claim) -> Job:
    """Return the row of a claim, locked until the transaction ends; raises `StaleClaim`."""
    query = select(Job).where(_is_held(claim.job_id, claim.fence)).with_for_update()
    job = session.scalar(query.execution_options(populate_existing=True))
    if job is None:
        raise StaleClaim(claim.job_id)
    return job


def suspend(session: Session, claim: Claim, *, wake_after_seconds: float | None = None) -> None:
    """Leave a running job without a process until a trial ends.

    It is looked at after `wake_after_seconds` in any case. If a pause was requested meanwhile, it is queued and paused.
    Raises `StaleClaim`.
    """
    is_paused = lock_claim(session, claim).requested == "pause"
    _write(
        session,
        claim,
        **({"state": "queued", "reason": "paused"} if is_paused else {}),
        worker=None,
        lease_until=None,
        crashes=0,
        notify_attempts=0,
        notify_at=clock(MAX_SUSPENSION_SECONDS if wake_after_seconds is None else wake_after_seconds),
    )
    if is_paused:
        append_events(session, claim.job_id, ("state", _state_event("queued", "paused", None)))


def heartbeat(session: Session, claim: Claim) -> Heartbeat:
    """Renew the lease, and return what a user has requested."""
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
    """Write progress, metrics and events since the last report.

    Metrics become points only with a `step`.
    """
    values: dict[str, Any] = {}
    metrics = {name: finite_or_none(value) for name, value in (metrics or {}).items()}
    if progress is not None:
        progress = {name: finite_or_none(value) for name, value in progress.items()}
        values["progress"] = progress
    if metrics:
        latest = session.scalar(select(Job.latest).where(Job.id == claim.job_id))
        values["latest"] = {**(latest or {}), **metrics}
    # Written even if nothing is new: the condition is how a run learns that it was fenced off.
    _write(session, claim, **(values or {"lease_until": Job.lease_until}))
    entries: list[tuple[str, Mapping[str, Any]]] = list(events)
    if metrics and step is not None:
        save_metrics(session, claim.job_id, metrics, step=step)
        entries.append(("metric", {"step": step, **metrics}))
    if progress is not None:
        entries.append(("progress", progress))
    append_events(session, claim.job_id, *entries)


def add_checkpoint(session: Session, claim: Claim, *, step: int, key: str, digest: str) -> list[str]:
    """Record a published checkpoint; return the keys of older ones that are no longer needed."""
    furthest = session.scalar(select(func.max(Checkpoint.step)).where(Checkpoint.job_id == claim.job_id))
    # Only a run without progress is limited in crashes: three in a week of successful training prove nothing.
    reset = {"crashes": 0} if step > (furthest or 0) else {}
    _write(session, claim, lease_until=clock(store_settings().lease_seconds), **reset)
    session.merge(Checkpoint(job_id=claim.job_id, fence=claim.fence, step=step, key=key, digest=digest))
    session.flush()
    append_events(session, claim.job_id, ("checkpoint", {"step": step}))
    outdated = checkpoints(session, claim.job_id)[MAX_CHECKPOINTS:]
    for checkpoint in outdated:
        session.delete(checkpoint)
    return [checkpoint.key for checkpoint in outdated]


def checkpoints(session: Session, job_id: str) -> Sequence[Checkpoint]:
    """List the checkpoints of a job, the furthest step first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return session.scalars(query.order_by(Checkpoint.step.desc(), Checkpoint.fence.desc())).all()


def waited_for_dataset(session: Session, claim: Claim) -> bool:
    """Return whether a job was submitted before its dataset was ready.

    Then its spec has not been checked against the data.
    """
    validation = aliased(Job)
    query = select(Job.id).join(validation, validation.dataset_id == Job.dataset_id)
    is_earlier = and_(validation.kind.in_(DATASET_KINDS), Job.created_at <= validation.finished_at)
    return session.scalar(query.where(Job.id == claim.job_id, is_earlier).limit(1)) is not None


def save_spec(session: Session, claim: Claim, spec: Mapping[str, Any]) -> None:
    """Store the spec of a run, completed from its dataset. Raises `StaleClaim`."""
    _write(session, claim, spec=dict(spec))


def succeed(
    session: Session,
    claim: Claim,
    *,
    model: NewModel | None = None,
    report: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> Model | None:
    """Move a job from running to succeeded and register its model, in one transaction.

    A cancellation that was accepted before takes precedence; then there is no model.
    """
    _lock_sweep(session, claim.parent_id)
    if _is_cancel_requested(session, claim):
        finish_cancelled(session, claim)
        return None
    warnings = list(report.get("warnings", ())) if report is not None else None
    values = {"report": dict(report) if report is not None else None, "warnings": warnings}
    _end(session, claim, "succeeded", reason=reason, **values)
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
    license: str | None = None,
) -> None:
    """End a dataset's validation: its row and its job together.

    `license` is the one that the upload states; one that the request named precedes it. A rejected dataset is not a
    failure of the job: the job succeeds with the reason "rejected".
    """
    if _is_cancel_requested(session, claim):
        finish_cancelled(session, claim)
        return
    _end(session, claim, "succeeded", reason="ready" if ready else "rejected")
    values: dict[str, Any] = {"report": report, "summary": summary}
    values["license"] = func.coalesce(Dataset.license, license)
    if ready:
        values |= {"state": "ready", "key": key, "bytes": size}
    else:
        codes = ", ".join(item["code"] for item in report.get("errors", ()) if item.get("severity") == "error")
        message = f"the data was rejected: {codes or 'see the report'}"
        hint = "Read the dataset's report, which lists every problem and its place; correct the data and upload again."
        values |= {"state": "rejected", "error": {"code": "rejected", "message": message, "hint": hint}}
    session.execute(update(Dataset).where(Dataset.id == claim.dataset_id).values(**values))
    outbox.emit_dataset(session, "ready" if ready else "rejected", claim.dataset_id)
    if ready:
        _notify_waiting(session, claim.dataset_id)
    else:
        _fail_waiting(session, claim.dataset_id)


def fail(session: Session, claim: Claim, *, error: Mapping[str, Any]) -> None:
    """Move a job from running to failed, for good."""
    _lock_sweep(session, claim.parent_id)
    _end(session, claim, "failed", error=dict(error))
    _reject_dataset(session, claim.kind, claim.dataset_id, error)


def finish_cancelled(session: Session, claim: Claim) -> None:
    """Move a job from running to cancelled, once its process has ended."""
    reason = "cancelled by request"
    _lock_sweep(session, claim.parent_id)
    _end(session, claim, "cancelled", reason=reason)
    _reject_dataset(session, claim.kind, claim.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def release(
    session: Session, claim: Claim, *, crashed: bool, error: Mapping[str, Any] | None = None, delay_seconds: float = 0
) -> None:
    """Move a job from running back to queued, to resume from the last checkpoint.

    After the last allowed crash it fails instead. Raises `StaleClaim`.
    """
    _lock_sweep(session, claim.parent_id)
    _release(session, lock_claim(session, claim), crashed=crashed, error=error, delay_seconds=delay_seconds)


# Transitions made by the reconciler.


def requeue_expired(session: Session) -> list[str]:
    """Release the running jobs whose lease has expired, each as crashed; return their ids."""
    query = select(Job).where(Job.state == "running", Job.lease_until < clock()).with_for_update(skip_locked=True)
    expired = session.scalars(query).all()
    for job in expired:
        message = "the worker stopped renewing its lease"
        error = {"code": "worker_lost", "message": message, "hint": None, "user_fault": False}
        _release(session, job, crashed=True, error=error, delay_seconds=0)
    return [job.id for job in expired]


def correct_lanes(session: Session) -> None:
    """Move unfinished jobs to the lanes of their kinds.

    Processes of the version before lanes, which may still run after a migration, submit all to the lane of trainings.
    """
    for lane in Lane:
        kinds = [kind for kind in JobKind if lane_of(kind) is lane]
        is_misplaced = (Job.state.in_(("queued", "running")), Job.lane == Lane.COMPUTING, Job.kind.in_(kinds))
        if lane is not Lane.COMPUTING:
            session.execute(update(Job).where(*is_misplaced).values(lane=lane))


def jobs_to_notify(session: Session, lane: Lane, *, messages_waiting: int) -> list[str]:
    """Return the queued jobs of a lane to notify workers of now.

    The delay until a job's next notification doubles.

    `messages_waiting` are in the broker already and not yet received. Sending more messages than there are jobs has no
    use: so a long queue of jobs does not flood the broker, and an emptied broker is filled again.
    """
    is_queued = and_(Job.state == "queued", *_is_ready())
    is_waiting = and_(Job.lane == lane, or_(is_queued, and_(_is_suspended(), Job.notify_at <= clock())))
    missing = (session.scalar(select(func.count()).select_from(Job).where(is_waiting)) or 0) - messages_waiting
    if missing <= 0:
        return []
    query = (
        select(Job)
        .where(is_waiting, Job.notify_at <= clock())
        .order_by(Job.notify_at)
        .limit(min(missing, MAX_NOTIFICATIONS_PER_ROUND))
        .with_for_update(skip_locked=True)
    )
    jobs = session.scalars(query).all()
    for job in jobs:
        delay_seconds = min(FIRST_NOTIFY_DELAY_SECONDS * 2**job.notify_attempts, MAX_NOTIFY_DELAY_SECONDS)
        values = {"notify_attempts": Job.notify_attempts + 1, "notify_at": clock(delay_seconds)}
        session.execute(update(Job).where(Job.id == job.id).values(**values))
    return [job.id for job in jobs]


def ring_suspended(session: Session) -> None:
    """Make every suspended sweep look again, as a slot is free."""
    session.execute(update(Job).where(_is_suspended()).values(notify_attempts=0, notify_at=clock()))


# Requests of a user.


def cancel(session: Session, job_id: str) -> Job:
    """Cancel a job and its trials, and discard their results.

    At once if queued or suspended, else once its process has ended.

    Raises:
        NotFound: No such job.
        Conflict: The job has ended.
    """
    job = _lock_unfinished(session, job_id, "cancelled")
    for trial_id in _unfinished_trials(session, job_id):
        cancel(session, trial_id)
    if job.state == "queued" or _is_row_suspended(job):
        _cancel_queued(session, job, "cancelled by request")
    else:
        _request(session, job, "cancel")
    return get(session, job_id)


def stop(session: Session, job_id: str) -> Job:
    """End a job now with its best result; a job without a checkpoint is cancelled.

    A sweep ends with its best trial, once those that run are stopped. Raises as `cancel` does.
    """
    job = _lock_unfinished(session, job_id, "stopped")
    if job.requested == "cancel":
        raise Conflict(f"{job_id} is being cancelled; wait for its end")
    for trial_id in _unfinished_trials(session, job_id):
        stop(session, trial_id)
    if job.state == "queued" and not checkpoints(session, job_id) and not trials(session, job_id):
        _cancel_queued(session, job, "stopped before it started")
    else:
        _request(session, job, "stop")
        _notify_if_waiting(session, job)
    return get(session, job_id)


def pause(session: Session, job_id: str) -> Job:
    """Interrupt a job, or the trials of a sweep, after a checkpoint until `resume`.

    Raises as `cancel` does.
    """
    job = _lock_unfinished(session, job_id, "paused")
    if job.requested in ("cancel", "stop"):
        raise Conflict(f"{job_id} cannot be paused: {job.requested} was requested before; wait for its end")
    for trial in trials(session, job_id):
        if trial.state not in FINAL_STATES and trial.requested is None:
            pause(session, trial.id)
    if _is_row_suspended(job):
        session.execute(update(Job).where(Job.id == job_id).values(state="queued", reason="paused"))
        job = get(session, job_id)
    _request(session, job, "pause")
    return get(session, job_id)


def resume(session: Session, job_id: str) -> Job:
    """Continue a paused job from its last checkpoint. Raises as `cancel` does."""
    job = _lock_unfinished(session, job_id, "resumed")
    if job.requested != "pause":
        raise Conflict(f"{job_id} is not paused; it is {job.state}")
    for trial in trials(session, job_id):
        if trial.state not in FINAL_STATES and trial.requested == "pause":
            resume(session, trial.id)
    _request(session, job, None)
    _notify_if_waiting(session, job)
    return get(session, job_id)


def set_priority(session: Session, job_id: str, priority: Priority) -> Job:
    """Change the priority of a job and its trials.

    A run is not interrupted, and has the new priority if it is queued again. Raises as `cancel` does, and `Conflict`
    for a trial, which has the priority of its sweep.
    """
    job = _lock_unfinished(session, job_id, "changed")
    if job.parent_id is not None:
        raise Conflict(f"{job_id} is a trial of {job.parent_id}; change the priority of that sweep")
    changed = or_(Job.id == job_id, and_(Job.parent_id == job_id, Job.state.not_in(FINAL_STATES)))
    session.execute(update(Job).where(changed).values(priority=PRIORITIES.index(priority)))
    return get(session, job_id)


def remove(session: Session, job_id: str) -> list[str]:
    """Delete an ended job, its trials and all that they wrote; return their ids.

    Raises:
        NotFound: No such job.
        Conflict: The job has not ended, is a trial, or a model or dataset that it made exists.
    """
    job = session.scalar(select(Job).where(Job.id == job_id, Job.deleted_at.is_(None)).with_for_update())
    if job is None:
        raise NotFound("job", job_id)
    if job.state not in FINAL_STATES:
        raise Conflict(f"{job_id} is {job.state}; cancel it first")
    if job.parent_id is not None:
        raise Conflict(f"{job_id} is a trial of {job.parent_id}; delete that sweep")
    model = of_job(session, job_id)
    if model is not None and model.deleted_at is None:
        raise Conflict(f"{job_id} made {model.name}@{model.version}, which refers to it; delete the model first")
    dataset = session.get(Dataset, job.dataset_id) if job.kind in DATASET_KINDS else None
    if dataset is not None and dataset.deleted_at is None:
        raise Conflict(f"{job_id} made {dataset.name}@{dataset.version}; delete the dataset first")
    ids = [job_id, *(trial.id for trial in trials(session, job_id))]
    for table in (Event, MetricPoint, Checkpoint):
        session.execute(delete(table).where(table.job_id.in_(ids)))
    values = {
        "deleted_at": clock(),
        "latest": None,  # progress stays, as quotas count its CPU time
        "report": None,
        "warnings": None,
        "request": None,
    }
    session.execute(update(Job).where(Job.id.in_(ids)).values(**values))
    return ids


def trials(session: Session, job_id: str) -> Sequence[Job]:
    """List the trials of a sweep by number; empty for any other job."""
    query = select(Job).where(Job.parent_id == job_id, Job.deleted_at.is_(None)).order_by(Job.trial)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def delete_checkpoints(session: Session, job_id: str) -> None:
    """Forget the checkpoints of an ended job; the caller deletes their blobs."""
    session.execute(delete(Checkpoint).where(Checkpoint.job_id == job_id))


def count_unfinished(session: Session, lane: Lane) -> int:
    """Return the number of queued and running jobs of a lane, without paused ones."""
    is_unfinished = and_(Job.state.in_(("queued", "running")), _is_not_paused(), Job.lane == lane)
    return session.scalar(select(func.count()).select_from(Job).where(is_unfinished)) or 0


def _is_ready() -> list[ColumnElement[bool]]:
    """Conditions on a queued job that a worker may claim now."""
    return [_is_not_paused(), _is_due(), _has_its_dataset()]


def _is_not_paused() -> ColumnElement[bool]:
    return or_(Job.requested.is_(None), Job.requested != "pause")


def _is_due() -> ColumnElement[bool]:
    return or_(Job.not_before.is_(None), Job.not_before <= clock())


def _has_its_dataset() -> ColumnElement[bool]:
    """A job waits until its dataset is ready; a validation makes it so."""
    is_ready = select(Dataset.id).where(Dataset.id == Job.dataset_id, Dataset.state == "ready").exists()
    return or_(Job.dataset_id.is_(None), Job.kind.in_(DATASET_KINDS), is_ready)


def _is_held(job_id: str, fence: int) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.fence == fence, Job.state == "running", Job.lease_until.is_not(None))


def _is_suspended() -> ColumnElement[bool]:
    """A suspended job runs without a lease, until a claim or a request."""
    return and_(Job.state == "running", Job.lease_until.is_(None))


def _traceparent(parent: Job | None) -> str | None:
    """Return the cause of a new job: the request, or that of its sweep."""
    span = current_span.get()
    if span is not None:
        return span.traceparent
    return parent.traceparent if parent is not None else None


def _is_row_suspended(job: Job) -> bool:
    return job.state == "running" and job.lease_until is None


def _unfinished_trials(session: Session, job_id: str) -> list[str]:
    return [trial.id for trial in trials(session, job_id) if trial.state not in FINAL_STATES]


def _lock_sweep(session: Session, parent_id: str | None) -> None:
    """Lock the sweep of a trial before the trial.

    A sweep that looks at its trials locks in this order, too; any other would be a deadlock.
    """
    if parent_id is not None:
        session.execute(select(Job.id).where(Job.id == parent_id).with_for_update())


def _ring_sweep(session: Session, parent_id: str | None) -> None:
    """Make the sweep of a trial that has ended look at its trials."""
    if parent_id is not None:
        values = {"notify_attempts": 0, "notify_at": clock()}
        session.execute(update(Job).where(Job.id == parent_id, Job.state == "running").values(**values))
        _notify_after_commit(session, parent_id, Lane.COORDINATING)


def _is_cancel_requested(session: Session, claim: Claim) -> bool:
    query = select(Job.requested).where(_is_held(claim.job_id, claim.fence)).with_for_update()
    return session.scalar(query) == "cancel"


def _claim_of(job: Job) -> Claim:
    return Claim(
        job.id,
        job.fence,
        job.kind,
        job.spec,
        job.dataset_id,
        job.model_name,
        job.crashes,
        job.requested,
        job.parent_id,
        job.trial,
        job.traceparent,
    )


def _write(session: Session, claim: Claim, **values: Any) -> None:
    if not update_rows(session, update(Job).where(_is_held(claim.job_id, claim.fence)).values(**values)):
        raise StaleClaim(claim.job_id)


def _end(session: Session, claim: Claim, state: str, **values: Any) -> None:
    values = {"reason": None, "error": None, **values}
    final = {"state": state, "requested": None, "worker": None, "lease_until": None, "finished_at": clock()}
    _write(session, claim, **final, **values)
    append_events(session, claim.job_id, ("state", _state_event(state, values["reason"], values.get("error"))))
    _ring_sweep(session, claim.parent_id)


def _release(
    session: Session, job: Job, *, crashed: bool, error: Mapping[str, Any] | None, delay_seconds: float
) -> None:
    """Release a job whose row the caller has locked."""
    if job.requested == "cancel":
        finish_cancelled(session, _claim_of(job))
        return
    crashes = job.crashes + crashed
    if crashed and crashes >= store_settings().max_crashes:
        last = dict(error or {"code": "crashed", "message": "the run crashed", "hint": None, "user_fault": False})
        last["message"] = f"{last['message']} ({crashes} times; not retried)"
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
        notify_attempts=0,
        not_before=clock(delay_seconds) if delay_seconds else None,
        notify_at=clock(delay_seconds or FIRST_NOTIFY_DELAY_SECONDS),
    )
    append_events(session, job.id, ("state", _state_event("queued", reason, error)))
    if delay_seconds == 0 and job.requested != "pause":
        _notify_after_commit(session, job.id, job.lane)


def _state_event(state: str, reason: str | None, error: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"state": state} | ({"reason": reason} if reason else {}) | ({"error": dict(error)} if error else {})


def _reject_dataset(session: Session, kind: str, dataset_id: str | None, error: Mapping[str, Any]) -> None:
    if kind in DATASET_KINDS:
        session.execute(update(Dataset).where(Dataset.id == dataset_id).values(state="rejected", error=dict(error)))
        outbox.emit_dataset(session, "rejected", dataset_id)
        _fail_waiting(session, dataset_id)


def _waiting_for(session: Session, dataset_id: str | None) -> Sequence[Job]:
    query = select(Job).where(Job.dataset_id == dataset_id, Job.state == "queued", Job.kind.not_in(DATASET_KINDS))
    return session.scalars(query.with_for_update()).all()


def _notify_waiting(session: Session, dataset_id: str | None) -> None:
    for job in _waiting_for(session, dataset_id):
        session.execute(update(Job).where(Job.id == job.id).values(reason=None))
        _notify_if_waiting(session, job)


def _fail_waiting(session: Session, dataset_id: str | None) -> None:
    """Fail the jobs that wait for a dataset which was rejected."""
    dataset = session.get(Dataset, dataset_id)
    for job in _waiting_for(session, dataset_id):
        name = f"{dataset.name}@{dataset.version}" if dataset else "its dataset"
        hint = "Read the dataset's report, correct the data, upload it again and clone this job for the new version."
        error = {"code": "dataset_rejected", "message": f"{name} was rejected", "hint": hint, "user_fault": True}
        final = {"state": "failed", "reason": None, "requested": None, "error": error, "finished_at": clock()}
        session.execute(update(Job).where(Job.id == job.id, Job.state == "queued").values(**final))
        append_events(session, job.id, ("state", _state_event("failed", None, error)))


def _lock_unfinished(session: Session, job_id: str, participle: str) -> Job:
    """Return the locked row.

    Raises `Conflict` with the `participle` of the request if the job has ended.
    """
    _lock_sweep(session, session.scalar(select(Job.parent_id).where(Job.id == job_id)))
    job = session.scalar(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    )
    if job is None:
        raise NotFound("job", job_id)
    if job.state in FINAL_STATES:
        message = f"{job_id} cannot be {participle}: it has ended and is {job.state}"
        raise Conflict(f"{message}; clone it to run it again")
    return job


def _cancel_queued(session: Session, job: Job, reason: str) -> None:
    session.execute(
        update(Job)
        .where(Job.id == job.id, or_(Job.state == "queued", _is_suspended()))
        .values(state="cancelled", reason=reason, requested=None, finished_at=clock())
    )
    append_events(session, job.id, ("state", _state_event("cancelled", reason, None)))
    _ring_sweep(session, job.parent_id)
    _reject_dataset(session, job.kind, job.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def _request(session: Session, job: Job, request: Request | None) -> None:
    if job.requested == request:
        return
    session.execute(update(Job).where(Job.id == job.id).values(requested=request))
    append_events(session, job.id, ("state", {"state": job.state, "requested": request}))


def _notify_if_waiting(session: Session, job: Job) -> None:
    if job.state == "queued" or _is_row_suspended(job):
        values = {"notify_attempts": 0, "notify_at": clock(FIRST_NOTIFY_DELAY_SECONDS)}
        session.execute(update(Job).where(Job.id == job.id).values(**values))
        _notify_after_commit(session, job.id, job.lane)


def _notify_after_commit(session: Session, job_id: str, lane: str) -> None:
    """Notify the workers.

    Without a broker this costs only latency, as the reconciler notifies again by `notify_at`.
    """
    after_commit(session, lambda: notifications.notify_if_possible(job_id, Lane(lane)))
