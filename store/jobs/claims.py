"""Claims: the right of a run to write to its job, until its lease ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, and_, cast, delete, func, or_, select, update
from sqlalchemy.orm import aliased

from store.database import lock, update_rows
from store.errors import StaleClaim
from store.job_events import append_events, append_state, finite_or_none, save_metrics
from store.jobs.conditions import is_held, is_ready, is_suspended
from store.jobs.listing import checkpoints, get
from store.queue import order
from store.settings import store_settings
from store.tables import DATASET_KINDS, Checkpoint, Dataset, Job, Lane, clock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.orm import Session


MAX_CHECKPOINTS = 2
#: A sweep whose trials never ring is looked at again after this time.
MAX_SUSPENSION_SECONDS = 600.0


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


def claim(session: Session, job_id: str, *, worker: str) -> Claim | None:
    """Move a job from queued, or from being suspended, to running.

    One of several callers gets the claim, the others None. So do callers for a paused job, or before `not_before`.
    """
    claimed_rows = update_rows(
        session,
        update(Job)
        .where(
            Job.id == job_id,
            or_(Job.state == "queued", is_suspended()),
            *is_ready(),
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
    return claim_of(job)


def claim_next(
    session: Session, lane: Lane, *, worker: str, kinds: Collection[str], excluded_devices: Collection[int] = ()
) -> Claim | None:
    """Claim the first job of a lane; None if none is due.

    Only `kinds` are claimed, and no training on a number of `excluded_devices`.
    """
    # One claim at a time: two at once would both count the runs of an owner without the other one.
    lock(session, f"queue {lane}")
    conditions = [*is_ready(), Job.kind.in_(kinds)]
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
    job = session.scalar(select(Job).where(is_held(job_id, fence)))
    if job is None:
        raise StaleClaim(job_id)
    return claim_of(job)


def lock_claim(session: Session, claim: Claim) -> Job:
    """Return the row of a claim, locked until the transaction ends; raises `StaleClaim`."""
    query = select(Job).where(is_held(claim.job_id, claim.fence)).with_for_update()
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
    write(
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
        append_state(session, claim.job_id, "queued", "paused")


def heartbeat(session: Session, claim: Claim) -> Heartbeat:
    """Renew the lease, and return what a user has requested."""
    write(session, claim, lease_until=clock(store_settings().lease_seconds))
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
    write(session, claim, **(values or {"lease_until": Job.lease_until}))
    entries: list[tuple[str, Mapping[str, Any]]] = list(events)
    if metrics and step is not None:
        save_metrics(session, claim.job_id, metrics, step=step)
        entries.append(("metric", {"step": step, **metrics}))
    if progress is not None:
        entries.append(("progress", progress))
    append_events(session, claim.job_id, *entries)


def save_spec(session: Session, claim: Claim, spec: Mapping[str, Any]) -> None:
    """Store the spec of a run, completed from its dataset. Raises `StaleClaim`."""
    write(session, claim, spec=dict(spec))


def waited_for_dataset(session: Session, claim: Claim) -> bool:
    """Return whether a job was submitted before its dataset was ready.

    Then its spec has not been checked against the data.
    """
    validation = aliased(Job)
    query = select(Job.id).join(validation, validation.dataset_id == Job.dataset_id)
    is_earlier = and_(validation.kind.in_(DATASET_KINDS), Job.created_at <= validation.finished_at)
    return session.scalar(query.where(Job.id == claim.job_id, is_earlier).limit(1)) is not None


def add_checkpoint(session: Session, claim: Claim, *, step: int, key: str, digest: str) -> list[str]:
    """Record a published checkpoint; return the keys of older ones that are no longer needed."""
    furthest = session.scalar(select(func.max(Checkpoint.step)).where(Checkpoint.job_id == claim.job_id))
    # Only a run without progress is limited in crashes: three in a week of successful training prove nothing.
    reset = {"crashes": 0} if step > (furthest or 0) else {}
    write(session, claim, lease_until=clock(store_settings().lease_seconds), **reset)
    session.merge(Checkpoint(job_id=claim.job_id, fence=claim.fence, step=step, key=key, digest=digest))
    session.flush()
    append_events(session, claim.job_id, ("checkpoint", {"step": step}))
    outdated = checkpoints(session, claim.job_id)[MAX_CHECKPOINTS:]
    for checkpoint in outdated:
        session.delete(checkpoint)
    return [checkpoint.key for checkpoint in outdated]


def delete_checkpoints(session: Session, job_id: str) -> None:
    """Forget the checkpoints of an ended job; the caller deletes their blobs."""
    session.execute(delete(Checkpoint).where(Checkpoint.job_id == job_id))


def is_cancel_requested(session: Session, claim: Claim) -> bool:
    """Lock the row of a claim, and return whether a user has cancelled the job."""
    query = select(Job.requested).where(is_held(claim.job_id, claim.fence)).with_for_update()
    return session.scalar(query) == "cancel"


def claim_of(job: Job) -> Claim:
    """Return the present claim of a row."""
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


def write(session: Session, claim: Claim, **values: Any) -> None:
    """Set columns of a job; raises `StaleClaim` if the claim does not hold."""
    if not update_rows(session, update(Job).where(is_held(claim.job_id, claim.fence)).values(**values)):
        raise StaleClaim(claim.job_id)
