"""Creates datasets from requests, and previews the rows of stored datasets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from app.datasets.schemas import (
    Dataset,
    DatasetCreate,
    DatasetDerive,
    DatasetOptions,
    FindingRow,
    Mistake,
    Preview,
    PreviewOrder,
    PreviewRow,
)
from app.http.errors import ProblemError
from app.http.pagination import ListOf
from app.http.request_body import read_limited
from app.http.strict_json import strict_json
from app.uploads import form_parsing
from app.uploads import service as uploads
from app.uploads.multipart import Form, read_form
from ml.data.dataset import DatasetSummary
from ml.data.derivation.check import check_operations, check_order
from ml.data.derivation.operations import AnyOperation, JoinDataset, ReadAgain
from ml.data.flagged_rows import file_name, parse_flagged_rows
from ml.errors import Finding, SpecError, unknown
from ml.licenses import combine_licenses, normalize_license
from store import datasets, jobs
from store.database import transaction
from store.errors import Conflict, NotFound
from store.settings import store_settings
from store.tables import JobKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from app.http.idempotency import Created, IdempotentRequest
    from ml.data.issues import Location
    from ml.data.rows import Row
    from ml.preprocessing.item_titles import ItemTitles
    from ml.spec.catalog import Catalog
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads
    from store.tables import Dataset as DatasetRow

GOLDEN_RATIO: Final = 0.618


async def create_from_uploads(
    request: Request, once: IdempotentRequest, *, catalog: Catalog, partial_uploads: PartialUploads, blobs: Blobs
) -> Response:
    """Respond to a JSON request."""
    body = await read_limited(request, form_parsing.MAX_JSON_BYTES)
    options = form_parsing.parse_options(
        DatasetCreate, strict_json(body), check=lambda options: check_names(options, catalog)
    )

    def create() -> Response:
        sources = [uploads.complete_source(partial_uploads, blobs, upload_id) for upload_id in options.upload_ids()]
        return _create(once, options, sources, fingerprint=form_parsing.fingerprint(options), blobs=blobs)

    return await to_thread.run_sync(create)


async def create_from_form(
    request: Request, once: IdempotentRequest, *, catalog: Catalog, partial_uploads: PartialUploads, blobs: Blobs
) -> Response:
    """Respond to a form; its files are written to disk while they arrive."""
    with form_parsing.temporary_folder(partial_uploads) as folder:
        form = await read_form(
            request, folder, check_space=partial_uploads.check_space, with_checksums=once.key is not None
        )
        options = form_parsing.parse_options(
            DatasetOptions,
            DatasetOptions.parse_fields(form.fields),
            check=lambda options: check_names(options, catalog),
        )
        form_parsing.require_file(form)
        return await to_thread.run_sync(lambda: _create_with_files(once, options, form, blobs))


def _create_with_files(once: IdempotentRequest, options: DatasetOptions, form: Form, blobs: Blobs) -> Response:
    fingerprint = form_parsing.fingerprint(options, form.files)

    def create(sources: Sequence[form_parsing.Source]) -> Response:
        return _create(once, options, sources, fingerprint=fingerprint, blobs=blobs)

    return form_parsing.store_files(form.files, "uploads", blobs, create=create)


def _create(
    once: IdempotentRequest,
    options: DatasetOptions,
    sources: Sequence[form_parsing.Source],
    *,
    fingerprint: bytes,
    blobs: Blobs,
) -> Response:
    with transaction() as session:

        def create() -> Created:
            license = normalize_license(options.license) if options.license else None
            earlier = _find_earlier(session, options, blobs) if options.append else None
            row = datasets.create(
                session,
                earlier=earlier,
                name=options.name,
                sources=sources,
                task=options.task,
                format=options.format,
                columns=options.columns,
                splits=options.splits,
                quoting=options.quoting,
                license=combine_licenses([earlier.license, license]) if earlier and license else license,
            )
            return Dataset.of(row), {"Location": f"/api/v1/datasets/{row.id}"}

        return once.respond(session, body=fingerprint, status=202, create=create)


def _find_earlier(session: Session, options: DatasetOptions, blobs: Blobs) -> DatasetRow:
    """Return the version to append to.

    Raises:
        NotFound: There is none.
        Conflict: It is not checked yet, or its rows cannot be joined with others.
        SpecError: The request names another task.
    """
    earlier = datasets.latest_ready(session, options.name)
    task = (earlier.summary or {}).get("task")
    if options.task not in (None, task):
        message = f"{datasets.reference_of(earlier)} is for {task or 'no task'}, and its rows stay"
        hint = "Leave `task` out, or create a dataset of another name."
        raise SpecError.of([Finding(code="task_differs", path="task", message=message, expected=task, hint=hint)])
    if datasets.has_histories(earlier):
        _require_upload(session, earlier, blobs)
    return earlier


def check_names(options: DatasetOptions, catalog: Catalog) -> None:
    """Raise `SpecError` with every name that is not in the catalog."""
    if findings := _unknown_names(options, catalog):
        raise SpecError.of(findings)


def _unknown_names(options: DatasetOptions | ReadAgain, catalog: Catalog, prefix: str = "") -> list[Finding]:
    return [
        unknown(field, name, entries, path=f"{prefix}{field}")
        for field, name, entries in (
            ("task", options.task, catalog.tasks),
            ("format", options.format, catalog.formats),
        )
        if name is not None and name not in entries
    ]


def derive(
    session: Session,
    reference: str,
    request: DatasetDerive,
    once: IdempotentRequest,
    *,
    blobs: Blobs,
    catalog: Catalog,
) -> Response:
    """Create the next version of a dataset.

    Raises:
        Conflict: The dataset is not checked yet, or the upload to read again is deleted.
        SpecError: Operations cannot be applied; it has every fault.
    """
    source = datasets.get(session, reference)
    operations, others = check_derivation(session, source, request, catalog)
    if datasets.reads_upload(source, operations):
        _require_upload(session, source, blobs)

    def create() -> Created:
        license = combine_licenses([source.license, *(row.license for row in others.values())])
        row = datasets.derive(session, source, operations=operations, others=others, name=request.name, license=license)
        return Dataset.of(row), {"Location": f"/api/v1/datasets/{row.id}"}

    body = f"{source.id} {request.model_dump_json()}".encode()
    return once.respond(session, body=body, status=202, create=create)


def check_derivation(
    session: Session, source: DatasetRow, request: DatasetDerive, catalog: Catalog
) -> tuple[list[dict[str, Any]], dict[str, DatasetRow]]:
    """Return the operations with pinned references, and the datasets that they name.

    Raises:
        Conflict: The dataset is not checked yet.
        SpecError: Operations cannot be applied; it has every fault.
    """
    if source.state in ("importing", "validating"):
        raise Conflict(f"{source.name}@{source.version} is {source.state}; wait until it is ready or rejected.")
    is_rejected = source.state == "rejected"
    findings = check_order(request.operations, is_rejected=is_rejected)
    pinned: list[AnyOperation] = []
    others: dict[str, DatasetRow] = {}
    for number, operation in enumerate(request.operations):
        if isinstance(operation, JoinDataset):
            row = find_ready(session, operation.dataset, findings, path=f"operations.{number}.dataset")
            if row is not None:
                operation = operation.model_copy(update={"dataset": datasets.reference_of(row)})
                others[operation.dataset] = row
        if isinstance(operation, ReadAgain):
            findings += _check_reading(session, source, operation, catalog, path=f"operations.{number}")
        pinned.append(operation)
    if not is_rejected:
        summaries = {reference: DatasetSummary.model_validate(row.summary) for reference, row in others.items()}
        findings += check_operations(pinned, DatasetSummary.model_validate(source.summary), summaries)
    if findings:
        raise SpecError.of(findings)
    return [operation.model_dump(mode="json", exclude_none=True) for operation in pinned], others


def _require_upload(session: Session, source: DatasetRow, blobs: Blobs) -> None:
    """Raise `Conflict` if the files of a dataset are deleted."""
    spec = datasets.import_spec(session, source.id)
    if spec is not None and spec.get("earlier") and not datasets.exists(session, spec["earlier"]):
        raise Conflict(
            f"{spec['earlier_name']}, to which {datasets.reference_of(source)} was appended, was deleted; upload all "
            "files again"
        )
    if spec is not None and not all(blobs.exists(item["key"]) for item in spec["sources"]):
        raise Conflict(
            f"the files of {datasets.reference_of(source)} were deleted, which happens some days after a rejection "
            "(PLINTH_UPLOAD_RETENTION_DAYS); upload them again"
        )


def _check_reading(
    session: Session, source: DatasetRow, operation: ReadAgain, catalog: Catalog, *, path: str
) -> list[Finding]:
    """Check that the dataset has an upload, and that the options have names that exist."""
    findings = _unknown_names(operation, catalog, f"{path}.")
    if datasets.import_spec(session, source.id) is None:
        message = f"{datasets.reference_of(source)} was derived from another dataset, so it has no upload to read again"
        hint = "Read its origin again, and apply the operations to the result."
        findings.append(Finding(code="no_upload", path=f"{path}.operation", message=message, hint=hint))
    return findings


def find_ready(session: Session, reference: str, findings: list[Finding], *, path: str) -> DatasetRow | None:
    """Return a dataset that is ready; otherwise None, and the reason is added to `findings`."""
    try:
        row = datasets.get(session, reference)
    except NotFound:
        findings.append(unknown("dataset", reference, datasets.names(session), path=path))
        return None
    if row.state != "ready":
        message = f"{row.name}@{row.version} is {row.state}"
        hint = "Wait until it is ready, or name another version."
        findings.append(
            Finding(code="dataset_not_ready", path=path, message=message, expected="ready", found=row.state, hint=hint)
        )
        return None
    return row


def list_finding_rows(row: DatasetRow, blobs: Blobs, code: str, *, after: int, limit: int) -> ListOf[FindingRow]:
    """Return a page of the rows of a finding; raises `NotFound` if it lists none."""
    counts = (row.summary or {}).get("flagged_rows", {})
    if code not in counts:
        raise NotFound("finding with rows", code, sorted(counts))
    with blobs.open(f"{row.key or f'datasets/{row.id}'}/{file_name(code)}") as file:
        flags = parse_flagged_rows(file.read())
    page = [FindingRow.model_validate(flag.model_dump()) for flag in flags[after : after + limit]]
    has_more = len(flags) > after + limit
    return ListOf(data=page, has_more=has_more, next_cursor=str(after + limit) if has_more else None)


def list_mistakes(
    session: Session, reference: str, job_id: str, blobs: Blobs, *, after: int, limit: int
) -> ListOf[Mistake]:
    """Return a page of the mistakes of an evaluation with their rows.

    Raises `NotFound` for another job, and `Conflict` before it has succeeded.
    """
    dataset, job = datasets.get(session, reference), jobs.get(session, job_id)
    if job.kind != JobKind.EVALUATE or job.dataset_id != dataset.id:
        raise NotFound("evaluation", f"{job_id} on {dataset.name}@{dataset.version}")
    if job.report is None:
        raise Conflict(f"{job_id} is {job.state}; its mistakes can be read once it has succeeded")
    split, listed = job.report["split"], (job.report.get("mistakes") or {}).get("rows", [])
    page = listed[after : after + limit]
    _, rows = read_rows(dataset, blobs, split=split, indices=[item["index"] for item in page])
    data = [
        Mistake(**{**item, "split": split, **row.model_dump(include={"file", "row", "line", "input"})})
        for item, row in zip(page, rows, strict=True)
    ]
    has_more = len(listed) > after + limit
    return ListOf(data=data, has_more=has_more, next_cursor=str(after + limit) if has_more else None)


def preview(
    row: DatasetRow, blobs: Blobs, *, split: str, start: int, limit: int, order: PreviewOrder = "stored"
) -> Preview:
    """Return rows of a split as inputs of `/predict`.

    Raises `ProblemError` 404 for an unknown split.
    """
    positions: Sequence[int] = range(start, start + limit)
    if order == "mixed":
        positions = mix_positions(positions, (row.summary or {}).get("splits", {}).get(split, 0))
    count, data = read_rows(row, blobs, split=split, indices=positions)
    return Preview(split=split, rows=count, start=start, data=data)


def read_rows(row: DatasetRow, blobs: Blobs, *, split: str, indices: Iterable[int]) -> tuple[int, list[PreviewRow]]:
    """Return the number of rows of a split, and its rows at `indices`.

    Rows are inputs of `/predict`; indices beyond the end are left out. Raises `ProblemError` 404 for an unknown split.
    """
    # Imported when first needed: Arrow takes as much memory as the rest of this process.
    from ml.data.dataset import Dataset as StoredDataset
    from ml.preprocessing.item_titles import ItemTitles
    from ml.tasks.recommendation.base import titles_of

    cache = store_settings().home / "cache" / "datasets" / row.id
    stored = StoredDataset.open(blobs.fetch_tree(row.key or f"datasets/{row.id}", cache))
    if split not in stored.summary.splits:
        splits = ", ".join(stored.summary.splits)
        raise ProblemError(404, "not_found", f"{row.name}@{row.version} has no split {split!r}; it has {splits}.")
    rows = stored.rows(split)
    existing = [index for index in indices if 0 <= index < len(rows)]
    places = stored.locations(split, existing)
    titles = titles_of(rows.item_table) if rows.item_table is not None else ItemTitles()
    return len(rows), [
        _to_preview_row(index, rows[index], stored.summary, place, titles)
        for index, place in zip(existing, places, strict=True)
    ]


def mix_positions(positions: Iterable[int], rows: int) -> list[int]:
    """Return as many other positions of a split, spread evenly over its rows.

    Rows are often stored class by class, so that the first ones are all of one class. Steps of about the golden ratio
    spread any number of rows, and as their length and the number of rows have no common divisor, none comes twice.
    """
    if rows < 2:
        return list(positions)
    step = next(step for step in range(round(rows * GOLDEN_RATIO) or 1, 2 * rows) if math.gcd(step, rows) == 1)
    return [position * step % rows if position < rows else position for position in positions]


def _to_preview_row(
    index: int, row: Row, summary: DatasetSummary, location: Location | None, titles: ItemTitles
) -> PreviewRow:
    """Convert a row; without a task, its input are the values of all columns."""
    from ml.data.column_types import COLUMN_TYPES
    from ml.tasks import TASKS

    place: dict[str, Any] = {"index": index, "titles": _select_titles(row, titles)}
    if location is not None:
        place |= {"file": location.file, "row": location.row, "line": location.line}
    if summary.task is None:
        values = {
            name: COLUMN_TYPES[column_type].to_json(row[name])
            for name, column_type in summary.columns.items()
            if row[name] is not None
        }
        return PreviewRow(input=values, target=None, **place)
    model_input, target = TASKS[summary.task].to_input_and_target(row)
    return PreviewRow(
        input=model_input.model_dump(mode="json", exclude_none=True, exclude_unset=True), target=target, **place
    )


def _select_titles(row: Row, titles: ItemTitles) -> dict[str, str]:
    """Return the titles of the items in a row."""
    items = [item for name in ("history", "item") for item in _as_list(row.get(name))]
    return {item: title for item in items if (title := titles.title_of(item))}


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
