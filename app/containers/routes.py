"""Routes of the contracts of model containers."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.responses import Response

from app.containers.instances import (
    ALL_FORMS,
    TARGET_MODEL,
    TENSOR_FORMS,
    Instances,
    encode_outputs,
    encode_predictions,
    invalid,
    parse_csv,
    parse_instances,
    to_inputs,
)
from app.containers.metadata import ServingMetadata, to_metadata
from app.dependencies import REFERENCE, ModelReference, PredictServiceDep, SettingsDep, Version, pin_version
from app.health import service as health
from app.http.errors import ProblemError, problem_responses
from app.http.request_body import JSONRoute, is_json, read_limited
from app.http.strict_json import strict_json
from app.predict.client_paths import client_paths
from app.predict.handler import PREDICTION_PROBLEMS, RESPONSE_TYPE, BodyFormat, body_format
from app.predict.signature import signature_of
from app.serving.access import allowed_names
from ml.errors import PARAMETERS
from store import models
from store.database import reading

if TYPE_CHECKING:
    from app.serving.service import PredictService
    from app.serving.types import LoadedModel

router = APIRouter(tags=["containers"], route_class=JSONRoute)

CSV_TYPE: Final = "text/csv"

TargetModel = Annotated[
    str | None,
    Header(
        alias=TARGET_MODEL,
        pattern=REFERENCE,
        max_length=200,
        examples=["digits"],
        description="The model. Without it: `PLINTH_INVOCATIONS_MODEL`, else the only one.",
    ),
]
EndpointTargetModel = Annotated[
    str | None,
    Header(alias=TARGET_MODEL, pattern=REFERENCE, max_length=200, description="The model, if the path names another."),
]
_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS)
_INSTANCE: Final = {"pixels": [[0, 9], [90, 255]]}
_OBJECT: Final = {"schema": {"type": "object"}}


def _body(**examples: Any) -> dict[str, Any]:
    named = {name: {"summary": f"Rows as {name}", "value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {**_OBJECT, "examples": named}}}}


_TENSOR_BODY: Final = _body(instances={"instances": [_INSTANCE]}, inputs={"inputs": {"pixels": [_INSTANCE["pixels"]]}})
_INVOCATION_BODY: Final = _body(
    dataframe_records={"dataframe_records": [_INSTANCE]},
    dataframe_split={"dataframe_split": {"columns": ["pixels"], "data": [[_INSTANCE["pixels"]]]}},
    instances={"instances": [_INSTANCE]},
    inputs={"inputs": [_INSTANCE]},
)
_ONE_BODY: Final = _body(input=_INSTANCE)


class Healthy(BaseModel):
    """The service can handle requests."""

    status: Literal["Healthy"] = "Healthy"


class Predictions(BaseModel):
    """One output of `/predict` for each row, in order."""

    predictions: list[dict[str, Any]]


class PredictionColumns(BaseModel):
    """A list for each field of the outputs, for rows that came by column."""

    outputs: dict[str, list[Any]]


@router.get("/ping", responses=problem_responses("database_unavailable", "storage_unavailable"))
def ping() -> Healthy:
    """Return 200 if the service is ready. Needs no key."""
    health.require_ready()
    return Healthy()


@router.post("/invocations", response_model=Predictions, openapi_extra=_INVOCATION_BODY, responses=_PROBLEMS)
async def invoke(
    request: Request, service: PredictServiceDep, settings: SettingsDep, target: TargetModel = None
) -> Response:
    """Predict as a container of SageMaker or MLflow does.

    Send MLflow's JSON (`dataframe_split`, `dataframe_records`, `instances` or `inputs`, and `params`), `text/csv`, or
    one image, audio clip or text as it is.
    """
    named = target or settings.invocations_model
    reference = await to_thread.run_sync(_only_model) if named is None else named
    return await _invoke(reference, request, service, settings)


@router.post(
    "/endpoints/{model}/invocations", response_model=Predictions, openapi_extra=_INVOCATION_BODY, responses=_PROBLEMS
)
async def invoke_endpoint(
    model: ModelReference,
    request: Request,
    service: PredictServiceDep,
    settings: SettingsDep,
    target: EndpointTargetModel = None,
) -> Response:
    """Predict as the runtime of SageMaker does; bodies are those of `/invocations`.

    `boto3.client("sagemaker-runtime", endpoint_url="http://127.0.0.1:8000", aws_access_key_id=KEY,
    aws_secret_access_key="any", region_name="any").invoke_endpoint(EndpointName="reviews", ...)` sends it.
    """
    return await _invoke(target or model, request, service, settings)


async def _invoke(reference: str, request: Request, service: PredictService, settings: SettingsDep) -> Response:
    body = await read_limited(request, settings.max_predict_bytes)
    model = await service.load(reference)
    instances = _parse(request.headers.get("content-type", ""), body, model)
    outputs = await _predict(service, model, reference, instances)
    return Response(encode_predictions(outputs), media_type=RESPONSE_TYPE)


@router.post(
    "/v1/models/{model}:predict",
    response_model=Predictions | PredictionColumns,
    openapi_extra=_TENSOR_BODY,
    responses=_PROBLEMS,
)
async def predict_instances(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict as TF Serving, KServe (version 1) and Vertex do.

    `instances` is a list of rows; `inputs` has a list for each field, and so has its answer.
    """
    body = await read_limited(request, settings.max_predict_bytes)
    instances = parse_instances(strict_json(body), TENSOR_FORMS)
    outputs = await _predict(service, await service.load(model), model, instances)
    return Response(encode_outputs(instances, outputs), media_type=RESPONSE_TYPE)


@router.post(
    "/v1/models/{model}/versions/{version}:predict",
    response_model=Predictions | PredictionColumns,
    openapi_extra=_TENSOR_BODY,
    responses=_PROBLEMS,
)
async def predict_instances_by_version(
    model: ModelReference, version: Version, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict with a version, as TF Serving does."""
    return await predict_instances(pin_version(model, version), request, service, settings)


@router.get("/v1/models/{model}/metadata", responses=_PROBLEMS)
async def read_serving_metadata(model: ModelReference, service: PredictServiceDep) -> ServingMetadata:
    """Read the tensors of a model as TF Serving describes them."""
    loaded = await service.load(model)
    return to_metadata(loaded.served, signature_of(loaded.predictor))


@router.get("/v1/models/{model}/versions/{version}/metadata", responses=_PROBLEMS)
async def read_serving_version_metadata(
    model: ModelReference, version: Version, service: PredictServiceDep
) -> ServingMetadata:
    """Read the tensors of a version."""
    return await read_serving_metadata(pin_version(model, version), service)


@router.post("/predictions/{model}", response_model=dict[str, Any], openapi_extra=_ONE_BODY, responses=_PROBLEMS)
async def predict_one(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict one input as TorchServe does.

    It is an object as JSON, or an image, audio clip or text as it is. The answer is its output. A body without a known
    Content-Type is read as it is, and a form has one file.
    """
    loaded = await service.load(model)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        row = await _read_file(request)
    else:
        row = await read_limited(request, settings.max_predict_bytes)
        row = strict_json(row) if is_json(request) else row
    (output,) = await _predict(service, loaded, model, Instances("body", [row]))
    return Response(orjson.dumps(output), media_type=RESPONSE_TYPE)


@router.put("/predictions/{model}", response_model=dict[str, Any], openapi_extra=_ONE_BODY, responses=_PROBLEMS)
async def predict_one_by_put(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict one input, for clients that upload a file by PUT."""
    return await predict_one(model, request, service, settings)


@router.post(
    "/predictions/{model}/{version}", response_model=dict[str, Any], openapi_extra=_ONE_BODY, responses=_PROBLEMS
)
async def predict_one_by_version(
    model: ModelReference, version: Version, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict one input with a version."""
    return await predict_one(pin_version(model, version), request, service, settings)


def _parse(content_type: str, body: bytes, model: LoadedModel) -> Instances:
    """Return the rows of a body of `/invocations`; raises `ProblemError` 415 and 422."""
    if content_type.partition(";")[0].strip().lower() == CSV_TYPE:
        return parse_csv(body, model.predictor.adapter)
    try:
        declared = body_format(content_type)
    except ProblemError as error:
        if error.code != "unsupported_media_type":
            raise
        declared = BodyFormat.FORM
    match declared:
        case BodyFormat.JSON:
            return parse_instances(strict_json(body, has_nan=True), ALL_FORMS)
        case BodyFormat.RAW:
            return Instances("body", [body])
    detail = f"This path reads JSON, {CSV_TYPE}, or one image, audio clip or text, not {content_type[:80]!r}; send one."
    raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


async def _predict(
    service: PredictService, model: LoadedModel, reference: str, instances: Instances
) -> list[dict[str, Any]]:
    inputs = to_inputs(model.predictor.adapter, instances)
    with client_paths(partial(_to_client_path, instances.form)):
        result = await service.predict(reference, inputs, parameters=instances.parameters)
    return result.outputs


def _to_client_path(form: str, index: int, path: str) -> str:
    return path if path.partition(".")[0] == PARAMETERS else f"{form}.{index}.{path}".rstrip(".")


async def _read_file(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=1) as form:
        files = [item for item in form.values() if isinstance(item, UploadFile)]
        if len(files) != 1:
            raise invalid("the form has no file", hint="Send one, such as `curl -F data=@seven.png`.")
        return await files[0].read()


def _only_model() -> str:
    """Return the name of the only model; raises `ProblemError` 404 and 422."""
    with reading() as session:
        names = allowed_names(models.names(session))
    if not names:
        raise ProblemError(404, "not_found", "There is no model yet; a job makes one.")
    if len(names) > 1:
        hint = f"Set PLINTH_INVOCATIONS_MODEL to one of {', '.join(names[:20])}, or send the header {TARGET_MODEL}."
        raise invalid(f"{len(names)} models are registered, and /invocations names none", hint=hint)
    return names[0]
