"""Models: versions, lineage, files, aliases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from app.dependencies import (
    BlobsDep,
    CatalogDep,
    ModelName,
    PartialUploadsDep,
    PredictServiceDep,
    SessionDep,
    SettingsDep,
    Version,
)
from app.http import links
from app.http.errors import ProblemError, problem_responses, reference_to
from app.http.idempotency import IdempotentRequestDep
from app.http.pagination import Cursor, Limit, ListOf, NumberCursor
from app.http.request_body import JSONRoute, is_json
from app.jobs.schemas import Job
from app.models import import_service, service
from app.models.schemas import (
    Alias,
    AliasSet,
    AliasWithHistory,
    Model,
    ModelImport,
    ModelVersion,
    ModelVersionInFull,
    Signature,
)
from app.models.zip_stream import blocks, zipped
from ml.spec.interchange import ModelFormat
from store import models
from store.database import after_commit, reading

router = APIRouter(prefix="/api/v1/models", tags=["models"], route_class=JSONRoute)

AliasName = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=100, examples=["production"])]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=200, description="The `ETag` you saw; `*` for any. 412 if it has moved since."),
]
OCTETS = "application/octet-stream"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A zip, or with `file` that file.", "content": {"application/zip": _BINARY, OCTETS: _BINARY}}
}

_IMPORT_FORM_EXAMPLES = {
    "onnx": {
        "summary": "An ONNX file that classifies images",
        "value": {"name": "minilm", "task": "image_classification", "labels": '["cat", "dog"]'},
    },
    "folder": {"summary": "A zip of a Hugging Face folder or of a Plinth package", "value": {"name": "minilm"}},
}
_IMPORT_EXAMPLES = {
    "upload": {
        "summary": "A finished upload",
        "value": {"name": "minilm", "upload": "upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"},
    },
    "hub": {
        "summary": "A model of the Hugging Face hub, where PLINTH_HUB_TOKEN is set",
        "value": {"name": "minilm", "hub": "sentence-transformers/all-MiniLM-L6-v2"},
    },
}
_ALIAS_EXAMPLES: Any = {"first": {"summary": "Name version 1", "value": {"version": 1}}}
_TEXT = {"type": "string", "default": ""}
_IMPORT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "file"],
                    "properties": {
                        "name": {"type": "string", "examples": ["minilm"]},
                        "file": {"type": "string", "format": "binary"},
                        "task": {**_TEXT, "description": "What it is for, where the file does not say."},
                        "labels": {**_TEXT, "description": 'JSON: the classes of an ONNX file. `["cat", "dog"]`'},
                    },
                },
                "examples": _IMPORT_FORM_EXAMPLES,
            },
            "application/json": {"schema": reference_to(ModelImport), "examples": _IMPORT_EXAMPLES},
        },
    }
}


@router.get("")
def list_models(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Model]:
    """Every name, with what stands under it."""
    return ListOf.of(
        models.listing(session, limit=limit, cursor=cursor), lambda row: service.summary(session, row.name)
    )


@router.post(
    "/import",
    status_code=202,
    response_model=Job,
    openapi_extra=_IMPORT_BODY,
    responses={
        202: {"links": links.JOB},
        **problem_responses(
            "not_found", "hub_off", "upload_incomplete", "invalid_spec", "storage_full", "storage_unavailable"
        ),
    },
)
async def import_model(
    request: Request,
    once: IdempotentRequestDep,
    catalog: CatalogDep,
    incoming: PartialUploadsDep,
    blobs: BlobsDep,
    settings: SettingsDep,
) -> Response:
    """Bring a model that was trained elsewhere, in a form or as the id of a finished upload; a job makes it ours.

    A zip of a Hugging Face folder (`config.json`, `*.safetensors`, the tokenizer) or of a package that was downloaded
    here, or one `.onnx` file with its `task` and `labels`. Nothing is unpickled, and no code that comes along is run.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -F name=minilm -F file=@all-MiniLM-L6-v2.zip \\
      http://127.0.0.1:8000/api/v1/models/import
    ```
    """
    if is_json(request):
        return await import_service.import_from_json(
            request, once, catalog=catalog, incoming=incoming, blobs=blobs, settings=settings
        )
    return await import_service.import_from_form(request, once, catalog=catalog, incoming=incoming, blobs=blobs)


@router.get("/{name}", responses=problem_responses("not_found"))
def read_model(name: ModelName, session: SessionDep) -> Model:
    """One name."""
    return service.summary(session, name)


@router.delete("/{name}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_model(name: ModelName, session: SessionDep, blobs: BlobsDep, predict_service: PredictServiceDep) -> None:
    """Forget all versions of a name, unless something stands on one: an alias, a job, or a model made from it."""
    keys = [key for row in models.versions(session, name) for key in models.delete(session, name, row.version)]
    after_commit(session, lambda: service.drop(keys, blobs, predict_service.names))


@router.get("/{name}/versions", responses=problem_responses("not_found"))
def list_model_versions(
    name: ModelName, session: SessionDep, limit: Limit = 50, cursor: NumberCursor = None
) -> ListOf[ModelVersion]:
    """All versions, newest first."""
    page = service.version_page(session, name, limit=limit, cursor=cursor)
    return ListOf.of(page, lambda row: service.to_response(session, row))


@router.get("/{name}/versions/{version}", responses=problem_responses("not_found"))
def read_model_version(name: ModelName, version: Version, session: SessionDep, blobs: BlobsDep) -> ModelVersionInFull:
    """What it is, how good it was, where it came from, what answers for it, and how that was proved on real rows."""
    return service.to_full_response(session, models.version(session, f"{name}@{version}"), blobs)


@router.delete("/{name}/versions/{version}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_model_version(
    name: ModelName, version: Version, session: SessionDep, blobs: BlobsDep, predict_service: PredictServiceDep
) -> None:
    """Forget a version, unless something stands on it: an alias, a job, or a model made from it."""
    keys = models.delete(session, name, version)
    after_commit(session, lambda: service.drop(keys, blobs, predict_service.names))


@router.get(
    "/{name}/versions/{version}/download",
    response_class=StreamingResponse,
    responses={**_FILES, **problem_responses("not_found", "conflict", "damaged", "storage_unavailable")},
)
def download_model_version(
    name: ModelName,
    version: Version,
    blobs: BlobsDep,
    file: Annotated[str | None, Query(max_length=300, description="One file, as listed under `files`.")] = None,
    format: Annotated[
        ModelFormat | None, Query(description="For another library; a job of the kind `export` has to make it first.")
    ] = None,
) -> Response:
    """The package as a zip, or one file of it, or in the format of another library.

    ```sh
    curl -o digits.zip -H "Authorization: Bearer $PLINTH_API_KEY" \\
      http://127.0.0.1:8000/api/v1/models/digits/versions/1/download
    ```
    """
    with reading() as session:
        row = models.version(session, f"{name}@{version}")
        key, paths = row.key, service.packed_paths(row)
        exported = models.export_key(row.id, format) if format else None
    if exported is not None:
        saved_as = _saved_as(f"{name}-{version}-{format}.zip")
        return StreamingResponse(service.exported(exported, blobs), media_type="application/zip", headers=saved_as)
    if file is None:
        content = zipped(paths, lambda path: blobs.open(f"{key}/{path}"))
        return StreamingResponse(content, media_type="application/zip", headers=_saved_as(f"{name}-{version}.zip"))
    if file not in paths:
        raise ProblemError(404, "not_found", f"{name}@{version} has no file {file!r}; it has {', '.join(paths)}.")
    content = blocks(blobs.open(f"{key}/{file}"))
    return StreamingResponse(content, media_type=OCTETS, headers=_saved_as(file.rpartition("/")[2]))


@router.get(
    "/{name}/versions/{version}/signature",
    responses=problem_responses("not_found", "damaged", "invalid_package", "storage_unavailable"),
)
async def read_model_signature(name: ModelName, version: Version, predict_service: PredictServiceDep) -> Signature:
    """What to send to `/predict` and what comes back, as JSON schemas with an example."""
    served = await predict_service.names.resolve(f"{name}@{version}")
    signature = await predict_service.signature(served)
    return Signature(model=served.name, version=served.version, task=served.task, **signature)


@router.get("/{name}/aliases", responses=problem_responses("not_found"))
def list_model_aliases(name: ModelName, session: SessionDep) -> ListOf[Alias]:
    """The names its versions go by."""
    models.versions(session, name)
    return ListOf(data=[service.to_alias_response(row) for row in models.aliases(session, name)])


@router.get("/{name}/aliases/{alias}", responses=problem_responses("not_found"))
def read_model_alias(name: ModelName, alias: AliasName, session: SessionDep, response: Response) -> AliasWithHistory:
    """Which version it means, and what it meant before."""
    row = models.alias_of(session, name, alias)
    shown = service.to_alias_response(row)
    response.headers["ETag"] = shown.etag
    return AliasWithHistory(**shown.model_dump(), history=service.history(session, name, alias))


@router.put(
    "/{name}/aliases/{alias}",
    responses={200: {"links": links.ALIAS}, **problem_responses("not_found", "conflict", "precondition_failed")},
)
def set_model_alias(
    name: ModelName,
    alias: AliasName,
    asked: Annotated[AliasSet, Body(openapi_examples=_ALIAS_EXAMPLES)],
    session: SessionDep,
    predict_service: PredictServiceDep,
    response: Response,
    if_match: IfMatch = None,
) -> Alias:
    """Move an alias, or make it. `/predict` follows within a second; `production` is what a bare name means."""
    row = models.set_alias(session, name, alias, asked.version, if_match=if_match)
    after_commit(session, predict_service.names.clear)
    shown = service.to_alias_response(row)
    response.headers["ETag"] = shown.etag
    return shown


@router.delete(
    "/{name}/aliases/{alias}", status_code=204, responses=problem_responses("not_found", "precondition_failed")
)
def delete_model_alias(
    name: ModelName, alias: AliasName, session: SessionDep, predict_service: PredictServiceDep, if_match: IfMatch = None
) -> None:
    """Take an alias away; the version stays."""
    models.remove_alias(session, name, alias, if_match=if_match)
    after_commit(session, predict_service.names.clear)


def _saved_as(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"'}
