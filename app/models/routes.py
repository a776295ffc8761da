"""Routes of models: import, versions, files, aliases."""

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
from app.jobs.evaluations import list_evaluations
from app.jobs.schemas import Job, ModelEvaluation
from app.models import import_service, service
from app.models.downloads import OCTET_STREAM, ZIP, read_export, read_package, read_package_file
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
from app.ranges import IfRange, RangeHeader, respond_with_content
from app.serving.access import listed_names
from ml.spec.interchange import ModelFormat
from store import models, traffic
from store.database import after_commit, reading

router = APIRouter(prefix="/api/v1/models", tags=["models"], route_class=JSONRoute)

AliasName = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=100, examples=["production"])]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description="`ETag` of the alias when it was read; 412 if it has changed since. `*` accepts any.",
    ),
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A zip, or the file that `file` names.",
        "content": {ZIP: _BINARY, OCTET_STREAM: _BINARY},
    },
    206: {
        "description": "The range that `Range` requests; `Content-Range` names it and the whole length.",
        "content": {ZIP: _BINARY, OCTET_STREAM: _BINARY},
    },
    304: {"description": "The content is the one that `If-None-Match` names."},
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
                        "task": {**_TEXT, "description": "Task of the model, if the file does not contain it."},
                        "labels": {
                            **_TEXT,
                            "description": 'JSON: labels of the classes of an ONNX file. `["cat", "dog"]`',
                        },
                        "license": {
                            **_TEXT,
                            "description": "SPDX identifier, or free text.",
                            "examples": ["Apache-2.0"],
                        },
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
    """List all models, with the number of versions and the aliases of each."""
    return service.summaries(session, models.listing(session, limit=limit, cursor=cursor, among=listed_names(session)))


@router.post(
    "/import",
    status_code=202,
    response_model=Job,
    openapi_extra=_IMPORT_BODY,
    responses={
        202: {"links": links.JOB},
        **problem_responses(
            "not_found",
            "hub_off",
            "upload_incomplete",
            "invalid_spec",
            "quota_reached",
            "storage_full",
            "storage_unavailable",
        ),
    },
)
async def import_model(
    request: Request,
    once: IdempotentRequestDep,
    catalog: CatalogDep,
    partial_uploads: PartialUploadsDep,
    blobs: BlobsDep,
    settings: SettingsDep,
) -> Response:
    """Import a model that was trained elsewhere. A job converts it.

    Send it in a form, or the id of a finished upload. Accepts a zip of a Hugging Face folder (`config.json`,
    `*.safetensors`, the tokenizer), a zip of a package that was downloaded from this service, or one `.onnx` file with
    its `task` and `labels`. Nothing is unpickled, and no code in the files is executed.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -F name=minilm -F file=@all-MiniLM-L6-v2.zip \\
      http://127.0.0.1:8000/api/v1/models/import
    ```
    """
    if is_json(request):
        return await import_service.import_from_json(
            request, once, catalog=catalog, partial_uploads=partial_uploads, blobs=blobs, settings=settings
        )
    return await import_service.import_from_form(
        request, once, catalog=catalog, partial_uploads=partial_uploads, blobs=blobs
    )


@router.get("/{name}", responses=problem_responses("not_found"))
def read_model(name: ModelName, session: SessionDep) -> Model:
    """Read a model: its latest version, number of versions and aliases."""
    return service.summary(session, name)


@router.delete("/{name}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_model(name: ModelName, session: SessionDep, blobs: BlobsDep, predict_service: PredictServiceDep) -> None:
    """Delete all versions of a model.

    Fails with 409 while an alias, a job or another model needs one of them.
    """
    keys = [key for row in models.versions(session, name) for key in models.delete(session, name, row.version)]
    after_commit(session, lambda: service.forget_models(keys, blobs, predict_service.names))


@router.get("/{name}/versions", responses=problem_responses("not_found"))
def list_model_versions(
    name: ModelName, session: SessionDep, limit: Limit = 50, cursor: NumberCursor = None
) -> ListOf[ModelVersion]:
    """List the versions of a model, newest first."""
    page = models.version_page(session, name, limit=limit, cursor=cursor)
    return ListOf.of(page, lambda row: service.to_response(session, row))


@router.get("/{name}/versions/{version}", responses=problem_responses("not_found"))
def read_model_version(name: ModelName, version: Version, session: SessionDep, blobs: BlobsDep) -> ModelVersionInFull:
    """Read a version: metrics, lineage, files, and how its graphs compare with the network."""
    return service.to_full_response(session, models.version(session, f"{name}@{version}"), blobs)


@router.get("/{name}/versions/{version}/evaluations", responses=problem_responses("not_found"))
def list_model_evaluations(
    name: ModelName, version: Version, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> ListOf[ModelEvaluation]:
    """List the evaluations of a version, newest first.

    A job of the kind `evaluate` makes one.
    """
    row = models.version(session, f"{name}@{version}")
    return list_evaluations(session, model=f"{row.name}@{row.version}", limit=limit, cursor=cursor)


@router.delete("/{name}/versions/{version}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_model_version(
    name: ModelName, version: Version, session: SessionDep, blobs: BlobsDep, predict_service: PredictServiceDep
) -> None:
    """Delete a version.

    Fails with 409 while an alias, a job or another model needs it.
    """
    keys = models.delete(session, name, version)
    after_commit(session, lambda: service.forget_models(keys, blobs, predict_service.names))


@router.get(
    "/{name}/versions/{version}/download",
    response_class=StreamingResponse,
    responses={
        **_FILES,
        **problem_responses(
            "not_found", "conflict", "damaged", "precondition_failed", "range_not_satisfiable", "storage_unavailable"
        ),
    },
)
def download_model_version(
    request: Request,
    name: ModelName,
    version: Version,
    blobs: BlobsDep,
    file: Annotated[str | None, Query(max_length=300, description="Path of one file, as listed in `files`.")] = None,
    format: Annotated[
        ModelFormat | None,
        Query(description="Format of another library. A job of the kind `export` must have created it."),
    ] = None,
    range_header: RangeHeader = None,  # noqa: ARG001 - for the document; `respond_with_content` reads the header
    if_range: IfRange = None,  # noqa: ARG001 - as `range_header`
) -> Response:
    """Download a version: its package, one file, or an export.

    The package is a zip; an export is a zip for another library. A download that broke off is resumed with `Range`, or
    by `curl -C -`; `ETag` and `If-Range` tell whether the content is the same.

    ```sh
    curl -C - -o digits.zip -H "Authorization: Bearer $PLINTH_API_KEY" \\
      http://127.0.0.1:8000/api/v1/models/digits/versions/1/download
    ```
    """
    with reading() as session:
        row = models.version(session, f"{name}@{version}")
        model_id, key, paths = row.id, row.key, service.package_paths(row)
        export_key = models.export_key(model_id, format) if format else None
    if export_key is not None:
        filename, content = f"{name}-{version}-{format}.zip", read_export(export_key, blobs)
    elif file is None:
        filename, content = f"{name}-{version}.zip", read_package(model_id, key, paths, blobs)
    elif file in paths:
        filename, content = file.rpartition("/")[2], read_package_file(model_id, key, file, blobs)
    else:
        raise ProblemError(404, "not_found", f"{name}@{version} has no file {file!r}; it has {', '.join(paths)}.")
    return respond_with_content(request, content, _attachment(filename))


@router.get(
    "/{name}/versions/{version}/signature",
    responses=problem_responses("not_found", "damaged", "invalid_package", "storage_unavailable"),
)
async def read_model_signature(name: ModelName, version: Version, predict_service: PredictServiceDep) -> Signature:
    """Read the JSON schemas of the inputs and outputs of `/predict`, with an example."""
    served = await predict_service.names.resolve(f"{name}@{version}")
    signature = await predict_service.signature(served)
    return Signature(model=served.name, version=served.version, task=served.task, **signature)


@router.get("/{name}/aliases", responses=problem_responses("not_found"))
def list_model_aliases(name: ModelName, session: SessionDep) -> ListOf[Alias]:
    """List the aliases of a model."""
    models.latest(session, name)
    return ListOf(data=[service.to_alias_response(row) for row in models.aliases(session, name)])


@router.get("/{name}/aliases/{alias}", responses=problem_responses("not_found"))
def read_model_alias(name: ModelName, alias: AliasName, session: SessionDep, response: Response) -> AliasWithHistory:
    """Read the version of an alias, and its history."""
    row = models.alias_of(session, name, alias)
    result = service.to_alias_response(row)
    response.headers["ETag"] = result.etag
    history, split = service.alias_history(session, name, alias), traffic.find_split(session, name, alias)
    return AliasWithHistory(**result.model_dump(), history=history, is_split=split is not None)


@router.put(
    "/{name}/aliases/{alias}",
    responses={200: {"links": links.ALIAS}, **problem_responses("not_found", "conflict", "precondition_failed")},
)
def set_model_alias(
    name: ModelName,
    alias: AliasName,
    body: Annotated[AliasSet, Body(openapi_examples=_ALIAS_EXAMPLES)],
    session: SessionDep,
    predict_service: PredictServiceDep,
    response: Response,
    if_match: IfMatch = None,
) -> Alias:
    """Create or move an alias. `/predict` follows within a second.

    A model name without version or alias means `production`.
    """
    row = models.set_alias(session, name, alias, body.version, if_match=if_match)
    after_commit(session, predict_service.names.clear)
    result = service.to_alias_response(row)
    response.headers["ETag"] = result.etag
    return result


@router.delete(
    "/{name}/aliases/{alias}", status_code=204, responses=problem_responses("not_found", "precondition_failed")
)
def delete_model_alias(
    name: ModelName, alias: AliasName, session: SessionDep, predict_service: PredictServiceDep, if_match: IfMatch = None
) -> None:
    """Delete an alias. The version remains."""
    models.remove_alias(session, name, alias, if_match=if_match)
    after_commit(session, predict_service.names.clear)


def _attachment(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"'}
