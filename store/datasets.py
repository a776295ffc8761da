"""Datasets: created from uploads, looked up by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, update

from store import jobs
from store.database import lock
from store.errors import Conflict, NotFound
from store.ids import new_id, version_number
from store.pagination import Page, newest_first
from store.tables import FINAL_STATES, Dataset, Job, JobKind, clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session


def create(
    session: Session,
    *,
    name: str,
    sources: Sequence[Mapping[str, str]],
    task: str | None = None,
    format: str | None = None,
    columns: Mapping[str, Any] | None = None,
    splits: Mapping[str, Any] | None = None,
) -> Dataset:
    """Create the next version of `name` and submit its validation job.

    `sources` are uploaded files, as `{"key", "filename"}` with the key of a blob, and `"path"` for a file of a folder.
    """
    lock(session, f"dataset {name}")
    last = session.scalar(select(func.max(Dataset.version)).where(Dataset.name == name))
    dataset = Dataset(id=new_id("ds"), name=name, version=(last or 0) + 1, task=task, format=format)
    session.add(dataset)
    session.flush()
    session.refresh(dataset)
    spec = {
        "sources": [dict(source) for source in sources],
        "task": task,
        "format": format,
        "columns": dict(columns) if columns else None,
        "splits": dict(splits) if splits else None,
    }
    jobs.submit(session, kind=JobKind.VALIDATE, spec=spec, dataset_id=dataset.id)
    return dataset


def get(session: Session, reference: str) -> Dataset:
    """Look up an id, `name@2`, or `name`: its latest ready version, else its latest.

    Raises `NotFound`.
    """
    live = select(Dataset).where(Dataset.deleted_at.is_(None))
    if dataset := session.scalar(live.where(Dataset.id == reference)):
        return dataset
    name, _, number = reference.partition("@")
    query = live.where(Dataset.name == name)
    if number:
        query = query.where(Dataset.version == version_number(number))
    else:
        query = query.order_by(case((Dataset.state == "ready", 0), else_=1), Dataset.version.desc()).limit(1)
    dataset = session.scalar(query)
    if dataset is None:
        raise NotFound("dataset", reference, names(session))
    return dataset


def names(session: Session) -> Sequence[str]:
    """List the names of all datasets in alphabetical order."""
    live = select(Dataset.name).where(Dataset.deleted_at.is_(None))
    return session.scalars(live.distinct().order_by(Dataset.name)).all()


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[Dataset]:
    """List all versions, newest first."""
    live = select(Dataset).where(Dataset.deleted_at.is_(None))
    return newest_first(session, live, Dataset.id, limit=limit, cursor=cursor)


def delete(session: Session, dataset_id: str) -> list[str]:
    """Mark a dataset as deleted and return the keys of its blobs.

    Raises `Conflict` while a job needs it.
    """
    dataset = get(session, dataset_id)
    dataset_jobs = session.scalars(select(Job).where(Job.dataset_id == dataset.id)).all()
    if unfinished := [job.id for job in dataset_jobs if job.state not in FINAL_STATES]:
        raise Conflict(f"{dataset.name}@{dataset.version} is needed by {', '.join(unfinished)}; wait, or cancel them")
    session.execute(update(Dataset).where(Dataset.id == dataset.id).values(deleted_at=clock()))
    sources = [source["key"] for job in dataset_jobs for source in job.spec.get("sources", ())]
    return [*sources, *([dataset.key] if dataset.key else [])]
