"""From what was sent to a dataset row, and from a stored dataset to rows one can look at."""

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
    request: Request, once: IdempotentRequest, *, catalog: Catalog, incoming: PartialUploads, blobs: Blobs
) -> Response:
    """The answer to a JSON request."""
    body = await read_limited(request, form_parsing.MAX_JSON_BYTES)
    asked = form_parsing.validated(DatasetCreate, strict_json(body), judge=lambda given: check_names(given, catalog))

    def work() -> Response:
        keys = [uploads.complete(incoming, blobs, upload_id) for upload_id in asked.upload_ids()]
        sources = [{"key": key, "filename": key.rpartition("/")[2]} for key in keys]
        return _create(once, asked, sources, fingerprint=form_parsing.fingerprint(asked))

    return await to_thread.run_sync(work)


async def create_from_form(
    request: Request, once: IdempotentRequest, *, catalog: Catalog, incoming: PartialUploads, blobs: Blobs
) -> Response:
    """The answer to a form: its files go to the disk while they arrive."""
    with form_parsing.scratch(incoming) as folder:
        form = await read_form(request, folder, check_space=incoming.check_space, hashed=once.key is not None)
        fields = DatasetOptions.of_fields(form.fields)
        asked = form_parsing.validated(DatasetOptions, fields, judge=lambda given: check_names(given, catalog))
        form_parsing.refuse_without_file(form)
        return await to_thread.run_sync(lambda: _keep_and_create(once, asked, form, blobs))


def _keep_and_create(once: IdempotentRequest, asked: DatasetOptions, form: Form, blobs: Blobs) -> Response:
    fingerprint = form_parsing.fingerprint(asked, form.files)
    return form_parsing.keep(
        form.files, "uploads", blobs, create=lambda sources: _create(once, asked, sources, fingerprint=fingerprint)
    )


def _create(
    once: IdempotentRequest, asked: DatasetOptions, sources: Sequence[form_parsing.Source], *, fingerprint: bytes
) -> Response:
    with transaction() as session:

        def make() -> Created:
            row = datasets.create(
                session,
                name=asked.name,
                sources=sources,
                task=asked.task,
                format=asked.format,
                columns=asked.columns,
                splits=asked.splits,
            )
            return Dataset.of(row), {"Location": f"/api/v1/datasets/{row.id}"}

        return once.answer(session, body=fingerprint, status=202, make=make)


def check_names(asked: DatasetOptions, catalog: Catalog) -> None:
    """Raises `SpecError` with every name that the catalogue does not hold."""
    findings = [
        unknown(field, name, known, path=field)
        for field, name, known in (("task", asked.task, catalog.tasks), ("format", asked.format, catalog.formats))
        if name is not None and name not in known
    ]
    if findings:
        raise SpecError.of(findings)


def preview(row: DatasetRow, blobs: Blobs, *, split: str, limit: int) -> Preview:
    """The first rows of a split, as `/predict` would be asked about them; raises `NotFound` for an unknown split."""
    # Imported when first needed: Arrow weighs as much as the rest of this process.
    from ml.data.dataset import Dataset as StoredDataset

    cache = store_settings().home / "cache" / "datasets" / row.id
    stored = StoredDataset.open(blobs.fetch_tree(row.key or f"datasets/{row.id}", cache))
    if split not in stored.summary.splits:
        known = ", ".join(stored.summary.splits)
        raise ProblemError(404, "not_found", f"{row.name}@{row.version} has no split {split!r}; it has {known}.")
    rows = stored.rows(split)
    shown = [_shown(rows[index], stored.summary) for index in range(min(limit, len(rows)))]
    return Preview(split=split, rows=len(rows), data=shown)


def _shown(row: Row, summary: DatasetSummary) -> PreviewRow:
    """Without a task there is nothing to be told but the values themselves."""
    from ml.data.column_types import COLUMN_TYPES
    from ml.tasks import TASKS

    if summary.task is None:
        values = {name: COLUMN_TYPES[kind].to_json(row[name]) for name, kind in summary.columns.items()}
        return PreviewRow(input=values, target=None)
    given, target = TASKS[summary.task].show(row)
    return PreviewRow(input=given.model_dump(mode="json", exclude_none=True), target=target)
