"""Jobs that wait for a dataset which is still being read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from store.job_events import append_state
from store.jobs.wake_ups import notify_if_waiting
from store.tables import DATASET_KINDS, Dataset, Job, clock
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session


def reject_dataset(session: Session, kind: str, dataset_id: str | None, error: Mapping[str, Any]) -> None:
    """Reject the dataset that a job makes, with the jobs that wait for it."""
    if kind in DATASET_KINDS:
        session.execute(update(Dataset).where(Dataset.id == dataset_id).values(state="rejected", error=dict(error)))
        outbox.emit_dataset(session, "rejected", dataset_id)
        fail_waiting(session, dataset_id)


def notify_waiting(session: Session, dataset_id: str | None) -> None:
    """Notify the workers of jobs whose dataset is ready now."""
    for job in _waiting_for(session, dataset_id):
        session.execute(update(Job).where(Job.id == job.id).values(reason=None))
        notify_if_waiting(session, job)


def fail_waiting(session: Session, dataset_id: str | None) -> None:
    """Fail the jobs that wait for a dataset which was rejected."""
    dataset = session.get(Dataset, dataset_id)
    for job in _waiting_for(session, dataset_id):
        name = f"{dataset.name}@{dataset.version}" if dataset else "its dataset"
        hint = "Read the dataset's report, correct the data, upload it again and clone this job for the new version."
        error = {"code": "dataset_rejected", "message": f"{name} was rejected", "hint": hint, "user_fault": True}
        final = {"state": "failed", "reason": None, "requested": None, "error": error, "finished_at": clock()}
        session.execute(update(Job).where(Job.id == job.id, Job.state == "queued").values(**final))
        append_state(session, job.id, "failed", None, error)


def _waiting_for(session: Session, dataset_id: str | None) -> Sequence[Job]:
    query = select(Job).where(Job.dataset_id == dataset_id, Job.state == "queued", Job.kind.not_in(DATASET_KINDS))
    return session.scalars(query.with_for_update()).all()
