"""Published trees of blobs: datasets, models, exports, predictions, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from store.blobs import blobs
from store.blobs.parts import predictions_key
from store.database import reading
from store.disk.base import DiskKind, Item, list_blobs
from store.tables import FINAL_STATES, Dataset, Job, JobKind, Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def _delete(key: str) -> None:
    blobs().delete(key)


def _list_datasets() -> Iterator[Item]:
    # One that is being checked gets its key only after its files are there.
    live = select(Dataset.id, Dataset.key).where(Dataset.deleted_at.is_(None), Dataset.state != "rejected")
    with reading() as session:
        rows = session.execute(live).all()
    return list_blobs(blobs(), "datasets", {row[1] or f"datasets/{row[0]}": None for row in rows})


def _list_models() -> Iterator[Item]:
    with reading() as session:
        keys = session.scalars(select(Model.key).where(Model.deleted_at.is_(None))).all()
    return list_blobs(blobs(), "models", dict.fromkeys(keys))


def _list_exports() -> Iterator[Item]:
    """Yield the exports of each model.

    An export can be made again, so that it is of no use once the last export job of its model has ended.
    """
    with reading() as session:
        models = session.execute(
            select(Model.id, Model.name, Model.version, Model.created_at).where(Model.deleted_at.is_(None))
        ).all()
        jobs = session.execute(select(Job.spec, Job.state, Job.finished_at).where(Job.kind == JobKind.EXPORT)).all()
    ends: dict[str, datetime] = {}
    for spec, state, finished_at in jobs:
        if state in FINAL_STATES and finished_at is not None:
            ends[spec["model"]] = max(finished_at, ends.get(spec["model"], finished_at))
    running = {spec["model"] for spec, state, _ in jobs if state not in FINAL_STATES}
    times: dict[str, datetime | None] = {}
    for model_id, name, version, created_at in models:
        reference = f"{name}@{version}"
        times[f"exports/{model_id}"] = None if reference in running else ends.get(reference, created_at)
    return list_blobs(blobs(), "exports", times)


def _list_predictions() -> Iterator[Item]:
    live = select(Job.id).where(Job.kind == JobKind.BATCH_PREDICT, Job.deleted_at.is_(None))
    with reading() as session:
        ids = session.scalars(live).all()
    return list_blobs(blobs(), "predictions", {predictions_key(job_id): None for job_id in ids})


def _list_checkpoints() -> Iterator[Item]:
    # Those of the best trial are needed until its sweep has ended.
    owner = aliased(Job)
    owner_id = func.coalesce(Job.parent_id, Job.id)
    query = select(Job.id, owner.state, owner.finished_at).join(owner, owner.id == owner_id)
    with reading() as session:
        rows = session.execute(query.where(Job.deleted_at.is_(None))).all()
    return list_blobs(blobs(), "runs", {f"runs/{row[0]}": row[2] if row[1] in FINAL_STATES else None for row in rows})


DATASETS = DiskKind(name="datasets", summary="Checked datasets.", list_items=_list_datasets, delete=_delete)
MODELS = DiskKind(name="models", summary="Registered models.", list_items=_list_models, delete=_delete)
EXPORTS = DiskKind(
    name="exports",
    summary="Models in the format of another library, which can be exported again.",
    list_items=_list_exports,
    delete=_delete,
    setting="export_retention_days",
)
PREDICTIONS = DiskKind(
    name="predictions",
    summary="Predictions of datasets, which are deleted with their job.",
    list_items=_list_predictions,
    delete=_delete,
)
CHECKPOINTS = DiskKind(
    name="checkpoints",
    summary="States from which unfinished jobs resume; those of ended jobs are deleted.",
    list_items=_list_checkpoints,
    delete=_delete,
    setting="checkpoint_retention_days",
)
