"""Uploaded files: those of rejected datasets, of ended imports of models, and of nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from store import uploads
from store.blobs import blobs
from store.database import reading, transaction
from store.disk.base import ORPHAN_DAYS, DiskKind, Item, list_blobs
from store.tables import FINAL_STATES, Dataset, Job, JobKind, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from sqlalchemy.orm import Session


def _list() -> Iterator[Item]:
    """Yield the files of all uploads.

    Those of a ready dataset stay with it. A rejected one can be read again without its bad rows, so that its files are
    of use for a while.
    """
    with reading() as session:
        released = _released_keys(session)
        unneeded_since = {**released, **dict.fromkeys(_needed_keys(session))}
        unused = {f"uploads/{row[0]}": row[1] for row in session.execute(select(Upload.id, Upload.expires_at)).all()}
    for prefix in ("uploads", "imports"):
        for item in list_blobs(blobs(), prefix, unneeded_since):
            if item.is_orphan and item.name in unused:
                since = unused[item.name] - timedelta(days=ORPHAN_DAYS)
                yield Item(name=item.name, bytes=item.bytes, unneeded_since=since, is_orphan=True)
            else:
                yield item


def _released_keys(session: Session) -> dict[str, datetime | None]:
    """Return the keys that ended jobs have read -> time of their end."""
    rejected = select(Job.spec, Job.finished_at).join(Dataset, Dataset.id == Job.dataset_id)
    rejected = rejected.where(Job.kind == JobKind.VALIDATE, Dataset.state == "rejected", Dataset.deleted_at.is_(None))
    imports = select(Job.spec, Job.finished_at).where(Job.kind == JobKind.IMPORT, Job.state.in_(FINAL_STATES))
    rows = [*session.execute(rejected), *session.execute(imports)]
    return {key: row[1] for row in rows for key in _keys(row[0])}


def _needed_keys(session: Session) -> set[str]:
    """Return the keys that a dataset or an unfinished job needs."""
    validations = select(Job.spec).join(Dataset, Dataset.id == Job.dataset_id)
    validations = validations.where(Job.kind == JobKind.VALIDATE, Dataset.deleted_at.is_(None))
    unfinished = select(Job.spec).where(Job.state.not_in(FINAL_STATES))
    specs = [
        *session.scalars(validations.where(Dataset.state != "rejected")),
        *session.scalars(unfinished.where(Job.kind == JobKind.IMPORT)),
    ]
    derivations = session.scalars(unfinished.where(Job.kind == JobKind.DERIVE)).all()
    if sources := {row_id for spec in derivations for row_id in spec["dataset_ids"].values()}:
        specs += session.scalars(validations.where(Dataset.id.in_(sources)))
    return {key for spec in specs for key in _keys(spec)}


def _keys(spec: Mapping[str, Any]) -> list[str]:
    """Return `prefix/id` of each file that a job reads."""
    sources = [*spec.get("sources", ()), *([spec["source"]] if "source" in spec else [])]
    return ["/".join(source["key"].split("/")[:2]) for source in sources]


def _delete(key: str) -> None:
    blobs().delete(key)
    with transaction() as session:
        uploads.delete(session, key.rpartition("/")[2])


UPLOADS = DiskKind(
    name="uploads",
    summary="Uploaded files; those of rejected datasets and of imported models are deleted, and unused ones.",
    list_items=_list,
    delete=_delete,
    setting="upload_retention_days",
)
