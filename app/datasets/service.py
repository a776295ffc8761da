"""Creates datasets from requests, and previews the rows of stored datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyio import to_thread

from app.datasets.schemas import Dataset, DatasetCreate, DatasetOptions, Preview, PreviewRow
from app.http.errors import ProblemError
from app.http.request_body import read_limited
from app.http.strict_json import strict_json
from app.uploads import form_parsing
from app.uploads import service as uploads
from app.uploads.multipart import Form, read_form
from ml.errors import SpecError, unknown
from store import datasets
from store.database import transaction
from store.settings import store_settings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from app.http.idempotency import Created, IdempotentRequest
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.spec.catalog import Catalog
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads
    from store.tables import Dataset as DatasetRow


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
        return _create(once, options, sources, fingerprint=form_parsing.fingerprint(options))

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
    return form_parsing.store_files(
        form.files, "uploads", blobs, create=lambda sources: _create(once, options, sources, fingerprint=fingerprint)
    )


def _create(
    once: IdempotentRequest, options: DatasetOptions, sources: Sequence[form_parsing.Source], *, fingerprint: bytes
) -> Response:
    with transaction() as session:

        def create() -> Created:
            row = datasets.create(
                session,
                name=options.name,
                sources=sources,
                task=options.task,
                format=options.format,
                columns=options.columns,
                splits=options.splits,
            )
            return Dataset.of(row), {"Location": f"/api/v1/datasets/{row.id}"}

        return once.respond(session, body=fingerprint, status=202, create=create)


def check_names(options: DatasetOptions, catalog: Catalog) -> None:
    """Raise `SpecError` with every name that is not in the catalog."""
    findings = [
        unknown(field, name, entries, path=field)
        for field, name, entries in (
            ("task", options.task, catalog.tasks),
            ("format", options.format, catalog.formats),
        )
        if name is not None and name not in entries
    ]
    if findings:
        raise SpecError.of(findings)


def preview(row: DatasetRow, blobs: Blobs, *, split: str, limit: int) -> Preview:
    """Return the first rows of a split as inputs of `/predict`.

    Raises `ProblemError` 404 for an unknown split.
    """
    # Imported when first needed: Arrow takes as much memory as the rest of this process.
    from ml.data.dataset import Dataset as StoredDataset

    cache = store_settings().home / "cache" / "datasets" / row.id
    stored = StoredDataset.open(blobs.fetch_tree(row.key or f"datasets/{row.id}", cache))
    if split not in stored.summary.splits:
        splits = ", ".join(stored.summary.splits)
        raise ProblemError(404, "not_found", f"{row.name}@{row.version} has no split {split!r}; it has {splits}.")
    rows = stored.rows(split)
    data = [_to_preview_row(rows[index], stored.summary) for index in range(min(limit, len(rows)))]
    return Preview(split=split, rows=len(rows), data=data)


def _to_preview_row(row: Row, summary: DatasetSummary) -> PreviewRow:
    """Convert a row; without a task, its input are the values of all columns."""
    from ml.data.column_types import COLUMN_TYPES
    from ml.tasks import TASKS

    if summary.task is None:
        values = {name: COLUMN_TYPES[column_type].to_json(row[name]) for name, column_type in summary.columns.items()}
        return PreviewRow(input=values, target=None)
    model_input, target = TASKS[summary.task].to_input_and_target(row)
    return PreviewRow(input=model_input.model_dump(mode="json", exclude_none=True), target=target)
