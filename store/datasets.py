"""Datasets: created from uploads, looked up by reference."""

from __future__ import annotations

import itertools
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, select, update

from store import jobs
from store.database import lock
from store.errors import Conflict, NotFound, name_some
from store.ids import new_id, version_number
from store.pagination import Page, newest_first
from store.tables import DATASET_KINDS, FINAL_STATES, Dataset, Job, JobKind, clock
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

#: Operation in the origin of a version that has all rows of an earlier one.
APPEND: Final = "append"
#: Column type of histories of users.
HISTORIES: Final = "items"


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
    earlier: Dataset | None = None,
) -> Dataset:
    """Create the next version of `name` and submit its validation job.

    Args:
        session: Session of the caller's transaction.
        name: Name of the dataset.
        sources: Uploaded files, as `{"key", "filename"}` with the key of a blob, and `"path"` for a file of a folder.
        task: Task that the data is for.
        format: Format of the files.
        columns: Canonical column -> column of the file.
        splits: Split -> fraction of the rows.
        quoting: Quoting of delimited text.
        license: License of the files.
        earlier: Version whose rows come first, as `latest_ready` returns it; None for the rows of the files alone.

    Raises:
        Conflict: The rows of `earlier` cannot be joined with others.
    """
    values: dict[str, Any] = {"task": task, "format": format, "license": license}
    spec: dict[str, Any] = {
        "sources": [dict(source) for source in sources],
        "task": task,
        "format": format,
        "columns": dict(columns) if columns else None,
        "splits": dict(splits) if splits else None,
        "quoting": quoting,
    }
    if earlier is not None:
        operation = {"operation": APPEND, "files": [source["filename"] for source in sources]}
        values["origin"] = {"dataset": reference_of(earlier), "operations": [operation]}
        spec = _append_to(session, earlier, spec)
    dataset = _add_version(session, name, **values)
    jobs.submit(session, kind=JobKind.VALIDATE, spec=spec, dataset_id=dataset.id)
    return dataset


def latest_ready(session: Session, name: str) -> Dataset:
    """Return the version that rows are appended to, and let no other be added meanwhile.

    Raises `NotFound` without any version, and `Conflict` while the latest is being checked, if none is ready, or if
    the latest lacks rows that were appended to another: the next version would lose them.
    """
    lock(session, f"dataset {name}")
    query = select(Dataset).where(Dataset.name == name).order_by(Dataset.version.desc())
    versions = session.scalars(query).all()
    live = [version for version in versions if version.deleted_at is None]
    if not live:
        raise NotFound("dataset", name, names(session))
    unchecked = next((version for version in live if version.state not in ("ready", "rejected")), None)
    if unchecked is not None:
        raise Conflict(f"{reference_of(unchecked)} is {unchecked.state}; append to it once it is ready")
    ready = [version for version in live if version.state == "ready"]
    if not ready:
        raise Conflict(f"no version of {name} is ready, so there are no rows to append to; create it without `append`")
    latest, reference = ready[0], reference_of(ready[0])
    beside = _appended_beside(latest, ready, {reference_of(version): version for version in versions})
    if beside is not None:
        sibling = reference_of(beside)
        raise Conflict(
            f"{sibling} has rows that {reference}, the latest, was made without, and the next version would lose them; "
            f"delete {reference} to append to those before it, or delete {sibling} if its rows are not needed"
        )
    return latest


def _appended_beside(latest: Dataset, ready: Sequence[Dataset], versions: Mapping[str, Dataset]) -> Dataset | None:
    """Return a version with appended rows that the latest lacks, or None.

    It is ready and no ancestor of the latest. An upload of its own replaces the versions before it. `versions`:
    reference -> version, deleted ones as well.
    """
    lineage = _lineage(latest, versions)
    oldest = lineage[-1].version
    others = (version for version in ready if version.version > oldest and version not in lineage)
    return next((version for version in others if _adds_rows(version, versions)), None)


def _lineage(dataset: Dataset, versions: Mapping[str, Dataset]) -> Sequence[Dataset]:
    """Return a version and those it was made of, itself first."""
    lineage = [dataset]
    while origin := versions.get((lineage[-1].origin or {}).get("dataset", "")):
        lineage.append(origin)
    return lineage


def _adds_rows(dataset: Dataset, versions: Mapping[str, Dataset]) -> bool:
    """Return whether a version has appended rows that no ready ancestor has."""
    ancestors = itertools.takewhile(lambda version: version.state != "ready", _lineage(dataset, versions)[1:])
    return any(_is_append(version) for version in (dataset, *ancestors))


def _is_append(dataset: Dataset) -> bool:
    return any(operation["operation"] == APPEND for operation in (dataset.origin or {}).get("operations", ()))


def has_histories(dataset: Dataset) -> bool:
    """Return whether the rows are histories of users, made of a log of interactions."""
    return HISTORIES in (dataset.summary or {}).get("columns", {}).values()


def exists(session: Session, dataset_id: str) -> bool:
    """Return whether a dataset is there, and not deleted."""
    query = select(Dataset.id).where(Dataset.id == dataset_id, Dataset.deleted_at.is_(None))
    return session.scalar(query) is not None


def _append_to(session: Session, earlier: Dataset, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of an import whose rows follow those of a stored version.

    Columns and quoting are those by which files were last read for it, if none are named. Histories of users have no
    times any more, so that a log of interactions is read again from all uploads, as one.
    """
    summary = earlier.summary or {}
    before = import_spec(session, earlier.id)
    options = before or _last_import(session, earlier.id)
    inherited = {name: options.get(name) for name in ("columns", "quoting") if spec[name] is None}
    spec = {**spec, **inherited, "task": spec["task"] or summary.get("task")}
    if not has_histories(earlier):
        return {**spec, "earlier": earlier.id, "earlier_name": reference_of(earlier)}
    if before is None:
        raise Conflict(
            f"{reference_of(earlier)} was derived from other rows, and histories without times cannot be joined with "
            "new ones; upload all logs together as the next version"
        )
    sources, splits = [*before["sources"], *spec["sources"]], _join_splits(earlier, before, spec)
    return {**spec, "format": spec["format"] or before["format"], "sources": sources, "splits": splits}


def _join_splits(earlier: Dataset, before: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the splits of earlier files and new ones that are read together.

    Raises `Conflict` if an earlier file would change its split, or a new one would not be in the one requested for it.
    """
    old, new = before.get("splits") or {}, spec["splits"] or {}
    names_files = all(isinstance(split, str) for split in new.values())
    joined = {**old, **{name: split for name, split in new.items() if name not in old}} if names_files else new
    moved = [file for file in _file_names(before) if _split_of(joined, file) != _split_of(old, file)]
    moved += [file for file in _file_names(spec) if _split_of(new, file) not in (None, _split_of(joined, file))]
    if moved:
        raise Conflict(
            f"`splits` contradicts those of {reference_of(earlier)}, whose files are read again, for "
            f"{name_some(sorted(set(moved)))}; rename the new files, and name each of them in `splits`"
        )
    return joined or None


def _file_names(spec: Mapping[str, Any]) -> list[str]:
    return [PurePath(source["filename"]).name for source in spec["sources"]]


def _split_of(splits: Mapping[str, Any], file: str) -> str | None:
    """Return the split that a request names for a file, as the import does."""
    return next((split for name, split in splits.items() if name == file or fnmatchcase(file, name)), None)


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

    Raises:
        Conflict: Rows are being appended to the name; the new version would come after them and lack them.
    """
    if name in (None, source.name):
        _require_no_append(session, source)
    origin = {"dataset": reference_of(source), "operations": [dict(operation) for operation in operations]}
    options = operations[0] if reads_again(operations) else {"task": source.task, "format": source.format}
    values = {"task": options.get("task"), "format": options.get("format"), "origin": origin, "license": license}
    dataset = _add_version(session, name or source.name, **values)
    ids = {reference_of(source): source.id, **{reference: row.id for reference, row in (others or {}).items()}}
    jobs.submit(session, kind=JobKind.DERIVE, spec={**origin, "dataset_ids": ids}, dataset_id=dataset.id)
    return dataset


def _require_no_append(session: Session, source: Dataset) -> None:
    """Raise `Conflict` while appended rows are checked, and let no version be added."""
    lock(session, f"dataset {source.name}")
    versions = session.scalars(select(Dataset).where(Dataset.name == source.name)).all()
    references = {reference_of(version): version for version in versions}
    unchecked = (
        version for version in versions if version.deleted_at is None and version.state not in ("ready", "rejected")
    )
    appended = next((version for version in unchecked if _adds_rows(version, references)), None)
    if appended is not None:
        raise Conflict(
            f"{reference_of(appended)} is {appended.state} with appended rows, which a version derived from "
            f"{reference_of(source)} now would lack; derive from it once it is ready, or give the result another `name`"
        )


def reference_of(dataset: Dataset) -> str:
    """Return `name@version`."""
    return f"{dataset.name}@{dataset.version}"


def reads_upload(source: Dataset, operations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether operations read the upload of a dataset instead of its rows."""
    return source.state == "rejected" or reads_again(operations)


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


def _last_import(session: Session, dataset_id: str) -> Mapping[str, Any]:
    """Return the spec by which files were last read for a dataset.

    These may be files of what it was derived from. Empty if nothing is known of them.
    """
    spec = import_spec(session, dataset_id)
    if spec is not None:
        return spec
    job = session.scalar(select(Job).where(Job.dataset_id == dataset_id, Job.kind == JobKind.DERIVE))
    return _last_import(session, job.spec["dataset_ids"][job.spec["dataset"]]) if job else {}


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
    makers = session.execute(select(Job.id, Job.spec).where(Job.kind.in_(DATASET_KINDS), unfinished)).all()
    needed_by = [*readers, *(job_id for job_id, spec in makers if dataset.id in _datasets_of(session, spec))]
    if needed_by:
        raise Conflict(f"{dataset.name}@{dataset.version} is needed by {name_some(needed_by)}; wait, or cancel them")
    session.execute(update(Dataset).where(Dataset.id == dataset.id).values(deleted_at=clock()))
    outbox.emit_dataset(session, "deleted", dataset.id)
    sources = _source_keys(session, Dataset.id == dataset.id)
    if sources:
        # One upload may be in several datasets, as logs are that others were appended to.
        sources -= _source_keys(session, Dataset.id != dataset.id, Dataset.deleted_at.is_(None))
    return [*sorted(sources), *([dataset.key] if dataset.key else [])]


def _datasets_of(session: Session, spec: Mapping[str, Any]) -> Collection[str]:
    """Return the ids of the datasets that a job reads to make another."""
    if "dataset_ids" not in spec:
        return [spec["earlier"]] if spec.get("earlier") else []
    ids = spec["dataset_ids"]
    source = session.get(Dataset, ids[spec["dataset"]])
    reads = source is not None and reads_upload(source, spec["operations"])
    upload = import_spec(session, source.id) if source and reads else None
    return [*ids.values(), *(_datasets_of(session, upload) if upload else ())]


def _source_keys(session: Session, *conditions: ColumnElement[bool]) -> set[str]:
    """Return the keys of the uploads that datasets were read from."""
    imports = select(Job.spec).join(Dataset, Dataset.id == Job.dataset_id)
    specs = session.scalars(imports.where(Job.kind == JobKind.VALIDATE, *conditions))
    return {source["key"] for spec in specs for source in spec.get("sources", ())}
