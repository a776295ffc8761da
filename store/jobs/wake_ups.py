"""Wake-ups of workers: which jobs they are notified of, and when.

A message only makes a worker look into the database. A sweep is woken by its trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select, update

from store import notifications
from store.database import after_commit
from store.jobs.conditions import is_ready, is_row_suspended, is_suspended
from store.settings import FIRST_NOTIFY_DELAY_SECONDS, MAX_NOTIFICATIONS_PER_ROUND, MAX_NOTIFY_DELAY_SECONDS
from store.tables import Job, JobKind, Lane, clock, lane_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def jobs_to_notify(session: Session, lane: Lane, *, messages_waiting: int) -> list[str]:
    """Return the queued jobs of a lane to notify workers of now.

    The delay until a job's next notification doubles.

    `messages_waiting` are in the broker already and not yet received. Sending more messages than there are jobs has no
    use: so a long queue of jobs does not flood the broker, and an emptied broker is filled again.
    """
    is_queued = and_(Job.state == "queued", *is_ready())
    is_waiting = and_(Job.lane == lane, or_(is_queued, and_(is_suspended(), Job.notify_at <= clock())))
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
    session.execute(update(Job).where(is_suspended()).values(notify_attempts=0, notify_at=clock()))


def correct_lanes(session: Session) -> None:
    """Move unfinished jobs to the lanes of their kinds.

    Processes of the version before lanes, which may still run after a migration, submit all to the lane of trainings.
    """
    for lane in Lane:
        kinds = [kind for kind in JobKind if lane_of(kind) is lane]
        is_misplaced = (Job.state.in_(("queued", "running")), Job.lane == Lane.COMPUTING, Job.kind.in_(kinds))
        if lane is not Lane.COMPUTING:
            session.execute(update(Job).where(*is_misplaced).values(lane=lane))


def lock_sweep(session: Session, parent_id: str | None) -> None:
    """Lock the sweep of a trial before the trial.

    A sweep that looks at its trials locks in this order, too; any other would be a deadlock.
    """
    if parent_id is not None:
        session.execute(select(Job.id).where(Job.id == parent_id).with_for_update())


def ring_sweep(session: Session, parent_id: str | None) -> None:
    """Make the sweep of a trial that has ended look at its trials."""
    if parent_id is not None:
        values = {"notify_attempts": 0, "notify_at": clock()}
        session.execute(update(Job).where(Job.id == parent_id, Job.state == "running").values(**values))
        notify_after_commit(session, parent_id, Lane.COORDINATING)


def notify_if_waiting(session: Session, job: Job) -> None:
    """Notify the workers of a job that is queued or suspended."""
    if job.state == "queued" or is_row_suspended(job):
        values = {"notify_attempts": 0, "notify_at": clock(FIRST_NOTIFY_DELAY_SECONDS)}
        session.execute(update(Job).where(Job.id == job.id).values(**values))
        notify_after_commit(session, job.id, job.lane)


def notify_after_commit(session: Session, job_id: str, lane: str) -> None:
    """Notify the workers.

    Without a broker this costs only latency, as the reconciler notifies again by `notify_at`.
    """
    after_commit(session, lambda: notifications.notify_if_possible(job_id, Lane(lane)))
