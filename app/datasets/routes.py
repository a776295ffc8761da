"""Routes of datasets: create, read the report, preview rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.datasets import service
from app.datasets.schemas import Dataset, DatasetCreate, DatasetReport, Preview
from app.dependencies import BlobsDep, CatalogDep, DatasetReference, PartialUploadsDep, SessionDep
from app.http import links
from app.http.errors import problem_responses, reference_to
from app.http.idempotency import IdempotentRequestDep
from app.http.pagination import Cursor, Limit, ListOf
from app.http.request_body import is_json
from app.uploads.form_parsing import delete_blobs
from store import datasets
from store.database import after_commit
from store.errors import Conflict

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])

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
                    },
                },
                "examples": _FORM_EXAMPLES,
            },
            "application/json": {"schema": reference_to(DatasetCreate), "examples": _EXAMPLES},
        },
    }
}


@router.post(
    "",
    status_code=202,
    response_model=Dataset,
    openapi_extra=_BODY,
    responses={
        202: {"links": links.DATASET},
        **problem_responses(
            "not_found", "conflict", "upload_incomplete", "invalid_spec", "storage_full", "storage_unavailable"
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
    `name` that exists gets a new version.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -F name=mnist -F file=@train-images-idx3-ubyte.gz \\
      -F file=@train-labels-idx1-ubyte.gz http://127.0.0.1:8000/api/v1/datasets
    ```
    """
    create = service.create_from_uploads if is_json(request) else service.create_from_form
    return await create(request, once, catalog=catalog, partial_uploads=partial_uploads, blobs=blobs)


@router.get("")
def list_datasets(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Dataset]:
    """List all versions of all datasets, newest first."""
    return ListOf.of(datasets.listing(session, limit=limit, cursor=cursor), Dataset.of)


@router.get("/{dataset}", responses=problem_responses("not_found"))
def read_dataset(dataset: DatasetReference, session: SessionDep) -> Dataset:
    """Read one version. A name without a version means the latest that is ready."""
    return Dataset.of(datasets.get(session, dataset))


@router.delete("/{dataset}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_dataset(dataset: DatasetReference, session: SessionDep, blobs: BlobsDep) -> None:
    """Delete a version and its files.

    Fails with 409 while a job or a model needs it.
    """
    keys = datasets.delete(session, datasets.get(session, dataset).id)
    after_commit(session, lambda: delete_blobs(keys, blobs))


@router.get("/{dataset}/report", responses=problem_responses("not_found"))
def read_dataset_report(dataset: DatasetReference, session: SessionDep) -> DatasetReport:
    """Read every problem in the data: its place, its reason and how to fix it."""
    row = datasets.get(session, dataset)
    return DatasetReport.model_validate({**(row.report or {}), "state": row.state})


@router.get(
    "/{dataset}/preview",
    responses=problem_responses("not_found", "conflict", "damaged", "invalid_data", "storage_unavailable"),
)
def preview_dataset(
    dataset: DatasetReference,
    session: SessionDep,
    blobs: BlobsDep,
    split: Annotated[str, Query(pattern="^[a-z]{1,20}$")] = "train",
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Preview:
    """Read the first rows of a split: inputs for `/predict`, and their targets."""
    row = datasets.get(session, dataset)
    if row.state != "ready":
        raise Conflict(f"{row.name}@{row.version} is {row.state}; it has a preview once it is ready.")
    return service.preview(row, blobs, split=split, limit=limit)
