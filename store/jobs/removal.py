"""Deletion of ended jobs with all that they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from store.errors import Conflict, NotFound
from store.jobs.listing import trials
from store.models import of_job
from store.tables import DATASET_KINDS, FINAL_STATES, Checkpoint, Dataset, Event, Job, MetricPoint, clock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


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
