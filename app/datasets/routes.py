"""Routes of datasets: create, read the report, preview rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from app.datasets import service
from app.datasets.fixes import suggest_fixes
from app.datasets.schemas import (
    FINAL_STATES,
    Dataset,
    DatasetCreate,
    DatasetDerive,
    DatasetReport,
    FindingRow,
    Mistake,
    Preview,
    PreviewOrder,
)
from app.dependencies import (
    NAME,
    BlobsDep,
    CatalogDep,
    DatasetReference,
    IdPrefix,
    JobId,
    PartialUploadsDep,
    SessionDep,
)
from app.http import links
from app.http.errors import problem_responses, reference_to
from app.http.idempotency import IdempotentRequestDep
from app.http.pagination import Cursor, Limit, ListOf, NumberCursor
from app.http.request_body import JSONRoute, is_json
from app.jobs.evaluations import list_evaluations
from app.jobs.schemas import ModelEvaluation
from app.polling import WaitSeconds, poll
from app.uploads.form_parsing import delete_blobs
from store import datasets
from store.database import after_commit, reading
from store.errors import Conflict

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"], route_class=JSONRoute)

_FORM_EXAMPLES = {
    "class_folders": {
        "summary": "A zip with one folder of images for each class",
        "value": {"name": "mnist", "task": "image_classification"},
    },
    "guessed": {"summary": "Only a name: task and format are inferred from the files", "value": {"name": "mnist"}},
}
_EXAMPLES = {
    "uploads": {
        "summary": "Several finished uploads",
        "value": {
            "name": "mnist",
            "upload": ["upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c", "upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9d"],
            "task": "image_classification",
        },
    },
    "append": {
        "summary": "The rows of the latest version and those of another upload",
        "value": {"name": "notes", "upload": "upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c", "append": True},
    },
    "upload": {
        "summary": "One finished upload; task and format are inferred from the files",
        "value": {"name": "mnist", "upload": "upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"},
    },
}
# Without the empty default the page fills in the word "string".
_TEXT = {"type": "string", "default": ""}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "file"],
                    "properties": {
                        "name": {"type": "string", "examples": ["mnist"]},
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "task": {**_TEXT, "examples": ["image_classification"]},
                        "format": {**_TEXT, "description": "Inferred from the files if absent."},
                        "columns": {
                            **_TEXT,
                            "description": 'JSON: column of the format to column in the file. `{"label": 1}`',
                        },
                        "splits": {
                            **_TEXT,
                            "description": 'JSON: split to fraction of the rows. `{"train": 0.8, "test": 0.2}`',
                        },
                        "quoting": {
                            **_TEXT,
                            "description": "Quoting of delimited text, such as `none`. Detected if absent.",
                        },
                        "license": {
                            **_TEXT,
                            "description": "SPDX identifier, or free text.",
                            "examples": ["CC-BY-4.0"],
                        },
                        "append": {
                            "type": "boolean",
                            "default": False,
                            "description": "Whether the rows of the latest ready version of this name come first.",
                        },
                    },
                },
                "examples": _FORM_EXAMPLES,
            },
            "application/json": {"schema": reference_to(DatasetCreate), "examples": _EXAMPLES},
        },
    }
}

_DERIVE_EXAMPLES: Any = {
    "findings": {
        "summary": "Take what the report suggests: drop near duplicates, correct labels that are probably wrong",
        "value": {
            "operations": [
                {"operation": "drop_rows", "finding": "near_duplicates_across_splits"},
                {"operation": "relabel", "finding": "label_probably_wrong"},
            ]
        },
    },
    "leave_out_bad_rows": {
        "summary": "Read a rejected upload again without the rows that have an error",
        "value": {"operations": [{"operation": "leave_out_bad_rows"}]},
    },
    "read_again": {
        "summary": "Read the upload again, with other columns",
        "value": {
            "operations": [
                {
                    "operation": "read_again",
                    "task": "text_classification",
                    "columns": {"text": "subject + body", "label": "team"},
                }
            ]
        },
    },
    "rows": {
        "summary": "Drop and relabel single rows, by their positions",
        "value": {
            "operations": [
                {"operation": "drop_rows", "rows": {"train": [3, 17]}},
                {"operation": "relabel", "labels": {"test": {"0": "positive"}}},
            ]
        },
    },
    "classes": {
        "summary": "Merge classes, and leave one out",
        "value": {
            "operations": [
                {"operation": "merge_classes", "classes": ["bad", "awful"], "into": "negative"},
                {"operation": "filter", "without_classes": ["spam"]},
            ]
        },
    },
    "sample": {
        "summary": "A tenth of the training rows, without equal ones, under a name of its own",
        "value": {
            "name": "reviews-small",
            "operations": [
                {"operation": "dedupe"},
                {"operation": "sample", "fraction": 0.1, "splits": ["train"], "seed": 0},
            ],
        },
    },
    "join": {
        "summary": "Add the rows of another dataset version",
        "value": {"operations": [{"operation": "join", "dataset": "reviews-2@1"}]},
    },
}
DeriveBody = Annotated[DatasetDerive, Body(openapi_examples=_DERIVE_EXAMPLES)]
FindingCode = Annotated[
    str, Path(pattern=r"^[a-z0-9_]{1,60}$", examples=["duplicate_rows"], description="Code of a finding.")
]


@router.post(
    "",
    status_code=202,
    response_model=Dataset,
    openapi_extra=_BODY,
    responses={
        202: {"links": links.DATASET},
        **problem_responses(
            "not_found",
            "conflict",
            "upload_incomplete",
            "invalid_spec",
            "quota_reached",
            "storage_full",
            "storage_unavailable",
        ),
    },
)
async def create_dataset(
    request: Request,
    once: IdempotentRequestDep,
    catalog: CatalogDep,
    partial_uploads: PartialUploadsDep,
    blobs: BlobsDep,
) -> Response:
    """Create a dataset from files in a form, or from finished uploads.

    A JSON body names the uploads by their ids. A filename with folders, such as `pets/cat/1.png`, as browsers send it
    for a folder, is read as in a zip of that folder. A job validates it; the report lists every problem in the data. A
    `name` that exists gets a new version, which has the rows of the latest ready one as well with `append`: these keep
    their splits, and a log of interactions is read again as one with the new events.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -F name=mnist -F file=@train-images-idx3-ubyte.gz \\
      -F file=@train-labels-idx1-ubyte.gz http://127.0.0.1:8000/api/v1/datasets
    ```
    """
    create = service.create_from_uploads if is_json(request) else service.create_from_form
    return await create(request, once, catalog=catalog, partial_uploads=partial_uploads, blobs=blobs)


@router.get("")
def list_datasets(
    session: SessionDep,
    name: Annotated[str | None, Query(pattern=NAME, max_length=100, description="Only versions of this name.")] = None,
    id_prefix: IdPrefix = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[Dataset]:
    """List all versions of all datasets, newest first."""
    page = datasets.listing(session, name=name, id_prefix=id_prefix, limit=limit, cursor=cursor)
    return ListOf.of(page, Dataset.of)


@router.get("/{dataset}", responses=problem_responses("not_found"))
async def read_dataset(dataset: DatasetReference, request: Request, wait: WaitSeconds = 0) -> Dataset:
    """Read one version. A name without a version means the latest that is ready.

    With `wait`, the response comes once the version is ready or rejected, or after that many seconds.
    """

    def read() -> Dataset:
        with reading() as session:
            row = datasets.get(session, dataset)
            is_checked = row.state in FINAL_STATES
            return Dataset.of(row, rows_read=None if is_checked else datasets.rows_read(session, row.id))

    return await poll(read, until=lambda row: row.state in FINAL_STATES, request=request, seconds=wait)


@router.delete("/{dataset}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_dataset(dataset: DatasetReference, session: SessionDep, blobs: BlobsDep) -> None:
    """Delete a version with its files, or all versions of a name.

    `name@2` and an id name one version. Fails with 409 while a job needs one of them; then none is deleted.
    """
    keys = [key for row in datasets.versions(session, dataset) for key in datasets.delete(session, row.id)]
    after_commit(session, lambda: delete_blobs(keys, blobs))


@router.get("/{dataset}/evaluations", responses=problem_responses("not_found"))
def list_dataset_evaluations(
    dataset: DatasetReference, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> ListOf[ModelEvaluation]:
    """List the evaluations of models on a version, newest first.

    A job of the kind `evaluate` makes one.
    """
    row = datasets.get(session, dataset)
    return list_evaluations(session, dataset=row.id, limit=limit, cursor=cursor)


@router.get(
    "/{dataset}/evaluations/{job_id}/mistakes",
    responses=problem_responses("not_found", "conflict", "damaged", "invalid_data", "storage_unavailable"),
)
def list_mistakes(
    dataset: DatasetReference,
    job_id: JobId,
    session: SessionDep,
    blobs: BlobsDep,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> ListOf[Mistake]:
    """List the rows where an evaluated model is wrong, the surest first.

    Each has its input, the answer and the truth.
    """
    return service.list_mistakes(session, dataset, job_id, blobs, after=int(cursor or 0), limit=limit)


@router.get("/{dataset}/report", responses=problem_responses("not_found"))
def read_dataset_report(dataset: DatasetReference, session: SessionDep) -> DatasetReport:
    """Read every problem in the data: its place, its reason and how to fix it."""
    row = datasets.get(session, dataset)
    measured = {name: (row.summary or {}).get(name) for name in ("class_counts", "facts")}
    report = DatasetReport.model_validate({**measured, **(row.report or {}), "state": row.state})
    report.fixes = suggest_fixes(row, report)
    return report


@router.get(
    "/{dataset}/findings/{code}",
    responses=problem_responses("not_found", "damaged", "invalid_data", "storage_unavailable"),
)
def list_finding_rows(
    dataset: DatasetReference,
    code: FindingCode,
    session: SessionDep,
    blobs: BlobsDep,
    limit: Limit = 50,
    cursor: NumberCursor = None,
) -> ListOf[FindingRow]:
    """List every row that a finding of the report is about.

    `preview` shows a row by its split and `start`; operations of `derive` name all of them by the code of the finding.
    """
    row = datasets.get(session, dataset)
    return service.list_finding_rows(row, blobs, code, after=int(cursor or 0), limit=limit)


@router.post(
    "/{dataset}/derive",
    status_code=202,
    response_model=Dataset,
    responses={
        202: {"links": links.DATASET},
        **problem_responses("not_found", "conflict", "invalid_spec", "quota_reached"),
    },
)
def derive_dataset(
    dataset: DatasetReference,
    request: DeriveBody,
    session: SessionDep,
    blobs: BlobsDep,
    once: IdempotentRequestDep,
    catalog: CatalogDep,
) -> Response:
    """Make the next version of a dataset by operations on its rows.

    The dataset stays as it is. A job applies the operations, and checks the rows as those of an upload: wait until the
    new version is ready, and read its report. A rejected upload is read again with `leave_out_bad_rows`, and any upload
    with other columns by `read_again`.
    """
    return service.derive(session, dataset, request, once, blobs=blobs, catalog=catalog)


@router.get(
    "/{dataset}/preview",
    responses=problem_responses("not_found", "conflict", "damaged", "invalid_data", "storage_unavailable"),
)
def preview_dataset(
    dataset: DatasetReference,
    session: SessionDep,
    blobs: BlobsDep,
    split: Annotated[str, Query(pattern="^[a-z]{1,20}$")] = "train",
    start: Annotated[int, Query(ge=0, le=2**40, description="Position of the first row, from 0.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    order: Annotated[
        PreviewOrder, Query(description="Stored rows are often in the order of classes; `mixed` spreads them.")
    ] = "stored",
) -> Preview:
    """Read rows of a split: inputs for `/predict`, and their targets."""
    row = datasets.get(session, dataset)
    if row.state != "ready":
        raise Conflict(f"{row.name}@{row.version} is {row.state}; it has a preview once it is ready.")
    return service.preview(row, blobs, split=split, start=start, limit=limit, order=order)
