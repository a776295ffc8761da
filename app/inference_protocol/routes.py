"""Routes of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.dependencies import ModelReference, PredictServiceDep, SettingsDep, Version, pin_version
from app.health import service as health
from app.http.errors import ProblemError, problem_responses, reference_to, summarize
from app.http.request_body import JSONRoute, read_limited
from app.http.strict_json import strict_json
from app.http.validation import parse
from app.inference_protocol.model_reports import to_config, to_statistics
from app.inference_protocol.request_tensors import HEADER_LENGTH, parse_body
from app.inference_protocol.response_tensors import BINARY_TYPE, respond
from app.inference_protocol.schemas import (
    IndexEntry,
    IndexRequest,
    InferRequest,
    InferResponse,
    ModelConfig,
    ModelControl,
    ModelLoaded,
    ModelMetadata,
    ModelReady,
    ModelUnloaded,
    ServerLive,
    ServerMetadata,
    ServerReady,
    ServerStatistics,
    TensorMetadata,
)
from app.predict.client_paths import client_paths
from app.predict.signature import FieldKind, signature_of
from app.serving.access import allowed_names
from ml.errors import Finding
from plinth import __version__
from store import models
from store.database import reading

if TYPE_CHECKING:
    from app.predict.signature import TensorField, TensorSignature
    from app.serving.service import PredictService

T = TypeVar("T", bound=BaseModel)

router = APIRouter(prefix="/v2", tags=["inference protocol"], route_class=JSONRoute)

EXTENSIONS: Final = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]
NOT_LOADED: Final = "not in memory; the first request loads it"

_PROBLEMS: Final = problem_responses("damaged", "invalid_package", "not_found", "storage_unavailable")
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_EXAMPLES: Final = {
    "pixels": {
        "summary": "Pixels of two images of 2 x 2",
        "value": {
            "inputs": [
                {"name": "pixels", "datatype": "UINT8", "shape": [2, 2, 2], "data": [0, 9, 9, 0, 255, 90, 90, 255]}
            ]
        },
    }
}
_INFER: Final[dict[str, Any]] = {
    "response_model": InferResponse,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference_to(InferRequest), "examples": _EXAMPLES}},
        },
        "parameters": [
            {
                "name": HEADER_LENGTH,
                "in": "header",
                "required": False,
                "schema": {"type": "integer", "minimum": 1},
                "description": "Size in bytes of the JSON at the start of the body, if binary tensors follow it.",
            }
        ],
    },
    "responses": {
        200: {"content": {BINARY_TYPE: _BINARY}},
        **_PROBLEMS,
        **problem_responses("answer_too_large", "deadline_exceeded", "invalid_input", "queue_full"),
    },
}


def _json_body(schema: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body that may be empty; clients send no Content-Type."""
    content = {
        "application/json": {
            "schema": reference_to(schema),
            "examples": {"all": {"summary": "No options", "value": {}}},
        }
    }
    return {"requestBody": {"content": content}}


@router.get("")
async def read_inference_server() -> ServerMetadata:
    """Read name, version and protocol extensions of the service."""
    return ServerMetadata(name="plinth", version=__version__, extensions=EXTENSIONS)


@router.get("/health/live")
async def read_inference_liveness() -> ServerLive:
    """Return 200 while the process runs. Needs no key."""
    return ServerLive()


@router.get("/health/ready", responses=problem_responses("database_unavailable", "storage_unavailable"))
def read_inference_readiness() -> ServerReady:
    """Return 200 if the service is ready. Needs no key."""
    health.require_ready()
    return ServerReady()


@router.get("/models/stats")
async def read_inference_statistics(service: PredictServiceDep) -> ServerStatistics:
    """Read the counters of all models in memory."""
    loaded = service.pool.list_loaded()
    names = set(allowed_names([model.served.name for model in loaded]))
    return ServerStatistics(model_stats=[to_statistics(model) for model in loaded if model.served.name in names])


@router.get("/models/{model}", responses=_PROBLEMS)
async def read_inference_model(model: ModelReference, service: PredictServiceDep) -> ModelMetadata:
    """Read the tensors of a model; it is loaded if it is not in memory."""
    loaded = await service.load(model)
    signature = signature_of(loaded.predictor)
    return ModelMetadata(
        name=loaded.served.name,
        versions=[str(loaded.served.version)],
        platform=loaded.predictor.engine,
        inputs=[_to_metadata(field, signature) for field in signature.inputs.values()],
        outputs=[_to_metadata(field, signature) for field in signature.outputs.values()],
    )


@router.get("/models/{model}/versions/{version}", responses=_PROBLEMS)
async def read_inference_model_version(
    model: ModelReference, version: Version, service: PredictServiceDep
) -> ModelMetadata:
    """Read the tensors of a version."""
    return await read_inference_model(pin_version(model, version), service)


@router.get("/models/{model}/config", responses=_PROBLEMS)
async def read_inference_config(model: ModelReference, service: PredictServiceDep) -> ModelConfig:
    """Read a model's configuration, with its tensors, as Triton describes it."""
    loaded = await service.load(model)
    return to_config(loaded, signature_of(loaded.predictor))


@router.get("/models/{model}/versions/{version}/config", responses=_PROBLEMS)
async def read_inference_version_config(
    model: ModelReference, version: Version, service: PredictServiceDep
) -> ModelConfig:
    """Read the configuration of a version."""
    return await read_inference_config(pin_version(model, version), service)


@router.get("/models/{model}/stats", responses=_PROBLEMS)
async def read_inference_model_statistics(model: ModelReference, service: PredictServiceDep) -> ServerStatistics:
    """Read the counters of a model; it is loaded if it is not in memory."""
    return ServerStatistics(model_stats=[to_statistics(await service.load(model))])


@router.get("/models/{model}/versions/{version}/stats", responses=_PROBLEMS)
async def read_inference_version_statistics(
    model: ModelReference, version: Version, service: PredictServiceDep
) -> ServerStatistics:
    """Read the counters of a version's model."""
    return await read_inference_model_statistics(pin_version(model, version), service)


@router.get("/models/{model}/ready", responses=_PROBLEMS)
async def read_inference_model_readiness(model: ModelReference, service: PredictServiceDep) -> ModelReady:
    """Return 200 if a model can be used; it is loaded if necessary."""
    return ModelReady(name=(await service.load(model)).served.name)


@router.get("/models/{model}/versions/{version}/ready", responses=_PROBLEMS)
async def read_inference_version_readiness(
    model: ModelReference, version: Version, service: PredictServiceDep
) -> ModelReady:
    """Return 200 if a version can be used."""
    return await read_inference_model_readiness(pin_version(model, version), service)


@router.post("/models/{model}/infer", **_INFER)
async def infer(model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep) -> Response:
    """Predict with a model.

    Send a tensor for each field of its inputs; the first axis are the rows. Tensors are JSON, or bytes after it (the
    extension `binary_tensor_data`), and so are those of the answer. Parameters that the protocol does not define are
    those of `/predict`, such as `return`.
    """
    body = await read_limited(request, settings.max_predict_bytes)
    tensors = parse_body(body, request.headers.get(HEADER_LENGTH))
    signature = signature_of((await service.load(model)).predictor)
    with client_paths(_to_client_path):
        rows = tensors.rows(signature)
        result = await service.predict(model, rows, parameters=tensors.parameters, deadline=tensors.deadline)
    return respond(tensors.body, result, signature)


@router.post("/models/{model}/versions/{version}/infer", **_INFER)
async def infer_version(
    model: ModelReference, version: Version, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Predict with a version of a model."""
    return await infer(pin_version(model, version), request, service, settings)


@router.post("/repository/index", openapi_extra=_json_body(IndexRequest))
async def list_inference_models(
    request: Request, service: PredictServiceDep, settings: SettingsDep
) -> list[IndexEntry]:
    """List all models, and which are in memory.

    Each is listed in the version that its name means.
    """
    query = await _read(request, IndexRequest, settings.max_json_bytes)
    entries = await to_thread.run_sync(_index, service)
    return [entry for entry in entries if entry.state == "READY" or not query.ready]


@router.post("/repository/models/{model}/load", openapi_extra=_json_body(ModelControl), responses=_PROBLEMS)
async def load_inference_model(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> ModelLoaded:
    """Load a model into the memory of the process that answers."""
    control = await _read(request, ModelControl, settings.max_json_bytes)
    for name in control.parameters:
        message = "a model is loaded as it was registered, without another configuration or files"
        finding = Finding(code="invalid_request", message=message, path=f"parameters.{name[:80]}", hint="Omit it.")
        raise ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
    return ModelLoaded(name=(await service.load(model)).served.name)


@router.post("/repository/models/{model}/unload", openapi_extra=_json_body(ModelControl), responses=_PROBLEMS)
async def unload_inference_model(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> ModelUnloaded:
    """Free the memory of all versions of a model; the next request loads it again."""
    await _read(request, ModelControl, settings.max_json_bytes)
    name = (await service.names.resolve(model)).name
    service.pool.unload(name)
    return ModelUnloaded(name=name)


async def _read(request: Request, schema: type[T], limit_bytes: int) -> T:
    body = await read_limited(request, limit_bytes)
    value = strict_json(body) if body.strip() else {}
    return parse(schema.model_validate, value, schema=schema.model_json_schema(), check=lambda _: None)


def _index(service: PredictService) -> list[IndexEntry]:
    loaded = {model.served.id for model in service.pool.list_loaded()}
    with reading() as session:
        rows = [models.version(session, name) for name in allowed_names(models.names(session))]
        return [
            IndexEntry(name=row.name, version=str(row.version), state="READY")
            if row.id in loaded
            else IndexEntry(name=row.name, version=str(row.version), state="UNAVAILABLE", reason=NOT_LOADED)
            for row in rows
        ]


def _to_metadata(field: TensorField, signature: TensorSignature) -> TensorMetadata:
    return TensorMetadata(
        name=field.name,
        datatype=field.datatype,
        shape=list(field.shape),
        optional=not field.is_required,
        labels=list(signature.labels) if field.kind is FieldKind.CLASSES else None,
    )


def _to_client_path(index: int, path: str) -> str:
    return path if path.startswith("parameters.") else f"row {index} of {path or 'the inputs'}"
