"""Requests of a user: cancel, stop, pause, resume, another priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import and_, or_, select, update

from store.errors import Conflict, NotFound
from store.job_events import append_events, append_state
from store.jobs.conditions import is_row_suspended, is_suspended
from store.jobs.dataset_waits import reject_dataset
from store.jobs.listing import checkpoints, get, trials, unfinished_trials
from store.jobs.wake_ups import lock_sweep, notify_if_waiting, ring_sweep
from store.tables import FINAL_STATES, PRIORITIES, Job, clock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.tables import Priority


Request = Literal["cancel", "stop", "pause"]


def cancel(session: Session, job_id: str) -> Job:
    """Cancel a job and its trials, and discard their results.

    At once if queued or suspended, else once its process has ended.

    Raises:
        NotFound: No such job.
        Conflict: The job has ended.
    """
    job = _lock_unfinished(session, job_id, "cancelled")
    for trial_id in unfinished_trials(session, job_id):
        cancel(session, trial_id)
    if job.state == "queued" or is_row_suspended(job):
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
    for trial_id in unfinished_trials(session, job_id):
        stop(session, trial_id)
    if job.state == "queued" and not checkpoints(session, job_id) and not trials(session, job_id):
        _cancel_queued(session, job, "stopped before it started")
    else:
        _request(session, job, "stop")
        notify_if_waiting(session, job)
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
    if is_row_suspended(job):
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
    notify_if_waiting(session, job)
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


def _lock_unfinished(session: Session, job_id: str, participle: str) -> Job:
    """Return the locked row.

    Raises `Conflict` with the `participle` of the request if the job has ended.
    """
    lock_sweep(session, session.scalar(select(Job.parent_id).where(Job.id == job_id)))
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
        .where(Job.id == job.id, or_(Job.state == "queued", is_suspended()))
        .values(state="cancelled", reason=reason, requested=None, finished_at=clock())
    )
    append_state(session, job.id, "cancelled", reason, None)
    ring_sweep(session, job.parent_id)
    reject_dataset(session, job.kind, job.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def _request(session: Session, job: Job, request: Request | None) -> None:
    if job.requested == request:
        return
    session.execute(update(Job).where(Job.id == job.id).values(requested=request))
    append_events(session, job.id, ("state", {"state": job.state, "requested": request}))
