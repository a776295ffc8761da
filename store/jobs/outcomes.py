"""Ends of runs: succeeded, failed, cancelled, or queued again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from store.job_events import append_state
from store.jobs.claims import Claim, claim_of, is_cancel_requested, lock_claim, write
from store.jobs.dataset_waits import fail_waiting, notify_waiting, reject_dataset
from store.jobs.wake_ups import lock_sweep, notify_after_commit, ring_sweep
from store.models import NewModel, register
from store.settings import FIRST_NOTIFY_DELAY_SECONDS, store_settings
from store.tables import Checkpoint, Dataset, Job, Model, clock
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


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
    lock_sweep(session, claim.parent_id)
    if is_cancel_requested(session, claim):
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
    if is_cancel_requested(session, claim):
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
        notify_waiting(session, claim.dataset_id)
    else:
        fail_waiting(session, claim.dataset_id)


def fail(session: Session, claim: Claim, *, error: Mapping[str, Any]) -> None:
    """Move a job from running to failed, for good."""
    lock_sweep(session, claim.parent_id)
    _end(session, claim, "failed", error=dict(error))
    reject_dataset(session, claim.kind, claim.dataset_id, error)


def finish_cancelled(session: Session, claim: Claim) -> None:
    """Move a job from running to cancelled, once its process has ended."""
    reason = "cancelled by request"
    lock_sweep(session, claim.parent_id)
    _end(session, claim, "cancelled", reason=reason)
    reject_dataset(session, claim.kind, claim.dataset_id, {"code": "cancelled", "message": reason, "hint": None})


def release(
    session: Session, claim: Claim, *, crashed: bool, error: Mapping[str, Any] | None = None, delay_seconds: float = 0
) -> None:
    """Move a job from running back to queued, to resume from the last checkpoint.

    After the last allowed crash it fails instead. Raises `StaleClaim`.
    """
    lock_sweep(session, claim.parent_id)
    _release(session, lock_claim(session, claim), crashed=crashed, error=error, delay_seconds=delay_seconds)


def requeue_expired(session: Session) -> list[str]:
    """Release the running jobs whose lease has expired, each as crashed; return their ids."""
    query = select(Job).where(Job.state == "running", Job.lease_until < clock()).with_for_update(skip_locked=True)
    expired = session.scalars(query).all()
    for job in expired:
        message = "the worker ended, or was cut off, before the job was done"
        error = {"code": "worker_lost", "message": message, "hint": None, "user_fault": False}
        _release(session, job, crashed=True, error=error, delay_seconds=0)
    return [job.id for job in expired]


def _end(session: Session, claim: Claim, state: str, **values: Any) -> None:
    values = {"reason": None, "error": None, **values}
    final = {"state": state, "requested": None, "worker": None, "lease_until": None, "finished_at": clock()}
    write(session, claim, **final, **values)
    append_state(session, claim.job_id, state, values["reason"], values.get("error"))
    ring_sweep(session, claim.parent_id)


def _release(
    session: Session, job: Job, *, crashed: bool, error: Mapping[str, Any] | None, delay_seconds: float
) -> None:
    """Release a job whose row the caller has locked."""
    if job.requested == "cancel":
        finish_cancelled(session, claim_of(job))
        return
    crashes = job.crashes + crashed
    if crashed and crashes >= store_settings().max_crashes:
        last = dict(error or {"code": "crashed", "message": "the run crashed", "hint": None, "user_fault": False})
        last["message"] = f"{last['message']} ({crashes} times; not retried)"
        _end(session, claim_of(job), "failed", error=last, crashes=crashes)
        reject_dataset(session, job.kind, job.dataset_id, last)
        return
    if crashed:
        error = _add_continuation(session, job, error)
    reason = "crashed" if crashed else ("paused" if job.requested == "pause" else "left by its worker")
    write(
        session,
        claim_of(job),
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
    append_state(session, job.id, "queued", reason, error)
    if delay_seconds == 0 and job.requested != "pause":
        notify_after_commit(session, job.id, job.lane)


def _add_continuation(session: Session, job: Job, error: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an error whose hint says where the job continues."""
    result = dict(error or {"code": "crashed", "message": "the run crashed", "hint": None, "user_fault": False})
    saved = session.scalar(select(func.max(Checkpoint.step)).where(Checkpoint.job_id == job.id))
    hint = "The job starts again by itself." if saved is None else f"The job continues by itself from step {saved:,}."
    repeated = int((job.progress or {}).get("step") or 0) - (saved or 0)
    if repeated > 0:
        hint += f" The {repeated:,} steps after it were not saved, and are repeated."
    result["hint"] = f"{result['hint']} {hint}" if result.get("hint") else hint
    return result
