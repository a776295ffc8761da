"""Datasets: created from uploads, looked up by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, update

from store import jobs
from store.database import lock
from store.errors import Conflict, NotFound, name_some
from store.ids import new_id, version_number
from store.pagination import Page, newest_first
from store.tables import FINAL_STATES, Dataset, Job, JobKind, clock
from store.webhooks import outbox

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
    quoting: str | None = None,
    license: str | None = None,
) -> Dataset:
    """Create the next version of `name` and submit its validation job.

    `sources` are uploaded files, as `{"key", "filename"}` with the key of a blob, and `"path"` for a file of a folder.
    """
    dataset = _add_version(session, name, task=task, format=format, license=license)
    spec = {
        "sources": [dict(source) for source in sources],
        "task": task,
        "format": format,
        "columns": dict(columns) if columns else None,
        "splits": dict(splits) if splits else None,
        "quoting": quoting,
    }
    jobs.submit(session, kind=JobKind.VALIDATE, spec=spec, dataset_id=dataset.id)
    return dataset


def derive(
    session: Session,
    source: Dataset,
    *,
    operations: Sequence[Mapping[str, Any]],
    others: Mapping[str, Dataset] | None = None,
    name: str | None = None,
    license: str | None = None,
) -> Dataset:
    """Create the next version of a dataset, and submit the job that derives it.

    Args:
        session: Session of the caller's transaction.
        source: Dataset to derive from, which stays as it is.
        operations: As JSON, their references pinned to versions.
        others: Reference -> dataset, for the datasets that operations name.
        name: Name of the new dataset; by default that of the source.
        license: License of the rows.
    """
    origin = {"dataset": reference_of(source), "operations": [dict(operation) for operation in operations]}
    options = operations[0] if reads_again(operations) else {"task": source.task, "format": source.format}
    values = {"task": options.get("task"), "format": options.get("format"), "origin": origin, "license": license}
    dataset = _add_version(session, name or source.name, **values)
    ids = {reference_of(source): source.id, **{reference: row.id for reference, row in (others or {}).items()}}
    jobs.submit(session, kind=JobKind.DERIVE, spec={**origin, "dataset_ids": ids}, dataset_id=dataset.id)
    return dataset


def reference_of(dataset: Dataset) -> str:
    """Return `name@version`."""
    return f"{dataset.name}@{dataset.version}"


def reads_again(operations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether operations read an upload anew instead of its rows."""
    return [operation["operation"] for operation in operations] == ["read_again"]


def with_options(upload: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the spec of an import with the options of `read_again`, and no others."""
    return {**upload, **{name: operations[0].get(name) for name in ("task", "format", "columns")}}


def import_spec(session: Session, dataset_id: str) -> Mapping[str, Any] | None:
    """Return the spec by which the files of a dataset were read.

    None for a dataset that was derived from rows.
    """
    kinds = (JobKind.VALIDATE, JobKind.DERIVE)
    job = session.scalar(select(Job).where(Job.dataset_id == dataset_id, Job.kind.in_(kinds)))
    if job is None or job.kind == JobKind.VALIDATE:
        return job.spec if job else None
    if not reads_again(job.spec["operations"]):
        return None
    upload = import_spec(session, job.spec["dataset_ids"][job.spec["dataset"]])
    return with_options(upload, job.spec["operations"]) if upload else None


def rows_read(session: Session, dataset_id: str) -> int | None:
    """Return the number of rows that a running validation has read; None before the first."""
    progress = session.scalar(select(Job.progress).where(Job.dataset_id == dataset_id, Job.kind == JobKind.VALIDATE))
    return (progress or {}).get("rows")


def _add_version(session: Session, name: str, **values: Any) -> Dataset:
    """Add the next version of a name."""
    lock(session, f"dataset {name}")
    last = session.scalar(select(func.max(Dataset.version)).where(Dataset.name == name))
    dataset = Dataset(id=new_id("ds"), name=name, version=(last or 0) + 1, **values)
    session.add(dataset)
    session.flush()
    session.refresh(dataset)
    outbox.emit_dataset(session, "created", dataset.id)
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


def listing(
    session: Session, *, limit: int, cursor: str | None, name: str | None = None, id_prefix: str | None = None
) -> Page[Dataset]:
    """List all versions, newest first; those of one name, or whose id begins so."""
    live = select(Dataset).where(Dataset.deleted_at.is_(None))
    if name is not None:
        live = live.where(Dataset.name == name)
    if id_prefix is not None:
        live = live.where(Dataset.id.startswith(id_prefix, autoescape=True))
    return newest_first(session, live, Dataset.id, limit=limit, cursor=cursor)


def versions(session: Session, reference: str) -> Sequence[Dataset]:
    """Return the versions that a reference names.

    One for an id or `name@2`, all of them for a name. Raises `NotFound`.
    """
    dataset = get(session, reference)
    if reference != dataset.name:
        return [dataset]
    live = select(Dataset).where(Dataset.deleted_at.is_(None), Dataset.name == reference)
    return session.scalars(live.order_by(Dataset.version)).all()


def delete(session: Session, dataset_id: str) -> list[str]:
    """Mark a dataset as deleted and return the keys of its blobs.

    Raises `Conflict` while a job needs it.
    """
    dataset = get(session, dataset_id)
    unfinished = Job.state.not_in(FINAL_STATES)
    readers = session.scalars(select(Job.id).where(Job.dataset_id == dataset.id, unfinished)).all()
    derivations = session.execute(select(Job.id, Job.spec).where(Job.kind == JobKind.DERIVE, unfinished)).all()
    needed_by = [*readers, *(job_id for job_id, spec in derivations if dataset.id in spec["dataset_ids"].values())]
    if needed_by:
        raise Conflict(f"{dataset.name}@{dataset.version} is needed by {name_some(needed_by)}; wait, or cancel them")
    session.execute(update(Dataset).where(Dataset.id == dataset.id).values(deleted_at=clock()))
    outbox.emit_dataset(session, "deleted", dataset.id)
    imports = select(Job.spec).where(Job.dataset_id == dataset.id, Job.kind == JobKind.VALIDATE)
    sources = [source["key"] for spec in session.scalars(imports) for source in spec.get("sources", ())]
    return [*sources, *([dataset.key] if dataset.key else [])]
