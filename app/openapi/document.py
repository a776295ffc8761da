"""Builds the OpenAPI document: routes, shared enums, links, examples and every problem code."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.client_protocols import ClientProtocol, protocol_of
from app.datasets.schemas import DatasetCreate
from app.dependencies import read_catalog
from app.http.authorization.scopes import rule_of
from app.http.errors import (
    PROBLEM_MEDIA_TYPE,
    Problem,
    SystemOneProblem,
    error_media_type,
    example_of,
    problem_responses,
    reference_to,
)
from app.http.middleware import OPEN_PATHS
from app.http.problem_codes import PROBLEMS, ProblemCode
from app.inference_protocol.schemas import IndexRequest, InferRequest, ModelControl
from app.models.schemas import ModelImport
from app.predict.schemas import PredictRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.routing import BaseRoute

    from app.http.authorization.scopes import ScopeRule

TAGS = [
    {"name": "datasets", "description": "1. Upload data: small files in one request, or the ids of resumable uploads."},
    {"name": "uploads", "description": "1b. Resumable uploads of any size, by the tus 1.0 protocol."},
    {"name": "catalog", "description": "2. Tasks, architectures and objectives, with the schema of every option."},
    {"name": "jobs", "description": "3. Train: start a job, watch it, stop it, read its report."},
    {"name": "models", "description": "4. Trained models: versions, lineage, files, aliases."},
    {"name": "predict", "description": "5. Predict with a model."},
    {"name": "openai", "description": "5b. The same models by the OpenAI protocol, for its clients as they are."},
    {
        "name": "inference protocol",
        "description": "5c. The same models by the Open Inference Protocol, for clients of Triton and KServe.",
    },
    {
        "name": "containers",
        "description": "5d. The same models by the contracts of SageMaker, MLflow, Vertex, TF Serving and TorchServe.",
    },
    {
        "name": "decisions",
        "description": "5e. Typed questions to the same models, by OpenAI's decisions and TypeSafe's System One.",
    },
    {
        "name": "hugging face",
        "description": "5f. The same models for InferenceClient and clients of text-embeddings-inference.",
    },
    {
        "name": "rerank",
        "description": "5g. Documents ranked by the same models, for clients of Cohere, Jina and vLLM.",
    },
    {"name": "keys", "description": "Create, list, change, rotate and revoke API keys."},
    {"name": "webhooks", "description": "Events of jobs, datasets, models and aliases, sent to an address of yours."},
    {"name": "system", "description": "Health, metrics and version of the service."},
]

DESCRIPTION = """\
Upload data, train a model, predict with it. Every operation needs `Authorization: Bearer <key>`, except `/healthz`,
`/readyz`, `/ping` and the health of `/v2`: press **Authorize** and paste the key that `plinth up` printed.
`x-scope` of an operation is what its key must include: `predict`, `train` (and `predict`) or `admin` (everything). A
key with a rate gets `RateLimit` and `RateLimit-Policy` with each response, and 429 `rate_limited` above it.

Errors are RFC 9457 problem documents (`application/problem+json`): `code` is for programs, `errors` lists every
problem of a request at once. On paths of other protocols they are `application/json`, as those clients read them. Any
operation may also answer 404 `no_such_path`, 405 `method_not_allowed`,
400 `invalid_http`, 403 `origin_not_allowed`, 408 `headers_timeout` and 431 `headers_too_large` before it reads the
request.
Query parameters that an operation does not have are rejected with 422, so that no misspelled filter is ignored.
`HEAD` answers wherever `GET` does, with the same headers and no body; only uploads list it as an operation.
A `POST` that creates something accepts an `Idempotency-Key`: a repeated request is executed once.
"""

_STATUS: Final = {
    "400": "The request is malformed, or names a host that this service does not serve.",
    "401": "The key is missing, unknown, expired or revoked.",
    "403": "The key may not do this.",
    "404": "The resource does not exist.",
    "405": "The path does not support this method.",
    "406": "The output is not available in the format that `Accept` requests.",
    "408": "The body stopped arriving.",
    "409": "The request conflicts with the present state.",
    "412": "A precondition failed: the resource has changed, or the protocol version is not supported.",
    "413": "The body is larger than the limit, which `detail` names.",
    "415": "The path does not accept this media type, charset or content coding.",
    "416": "The requested range begins beyond the end of the content.",
    "422": "The request is invalid; `errors` lists every reason.",
    "423": "Another request is writing to this upload.",
    "429": "Too many requests; `Retry-After` gives the seconds to wait.",
    "460": "The checksum does not match; nothing of the piece was stored.",
    "500": "Internal error; the log of the service has details under `request_id`.",
    "503": "A part of the service is unavailable; try again.",
    "504": "The deadline of the request passed.",
    "507": "The disk is full.",
}
#: Bodies that routes parse themselves, so that FastAPI does not add their schemas.
_BODY_SCHEMAS: Final = (DatasetCreate, IndexRequest, InferRequest, ModelControl, ModelImport, PredictRequest)


def document_of(routes: Sequence[BaseRoute], *, title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the routes."""
    emitted = get_openapi(
        title=title,
        version=version,
        description=DESCRIPTION,
        routes=routes,
        tags=TAGS,
        servers=[{"url": "/"}],
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    document: dict[str, Any] = _with_binary_files(emitted)
    document["components"]["schemas"] = _complete_schemas(document["components"]["schemas"])
    document["components"]["examples"] = {
        code: {"summary": problem.detail, "value": example_of(code)} for code, problem in PROBLEMS.items()
    }
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "`plinth up` prints a key; `plinth keys create` makes more.",
        }
    }
    document["security"] = [{"key": []}]
    predict_body = document["paths"]["/predict/{model}"]["post"]["requestBody"]["content"]["application/json"]
    predict_body["examples"] = _predict_examples()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(document, path, method, operation)
    return document


def _complete_schemas(schemas: dict[str, Any]) -> dict[str, Any]:
    """Replace FastAPI's error schemas, add `_BODY_SCHEMAS`, and name the task of specs."""
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, added = models_json_schema(
        [
            *((schema, "serialization") for schema in (Problem, SystemOneProblem)),
            *((schema, "validation") for schema in _BODY_SCHEMAS),
        ],
        ref_template="#/components/schemas/{model}",
    )
    schemas = {**schemas, **added["$defs"]}
    for name in ("Finetune", "Pretrain"):
        options = schemas[name]["properties"]["task"]["anyOf"]
        options[options.index({"type": "string"})] = {"$ref": "#/components/schemas/Task"}
    return dict(sorted(schemas.items()))


def _with_binary_files(value: Any) -> Any:
    """Replace `contentMediaType` of files, as FastAPI writes it, by `format: binary`.

    Swagger UI and client generators look for the latter.
    """
    if isinstance(value, list):
        return [_with_binary_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_binary_files(item) for key, item in value.items()}
    if changed.get("contentMediaType") == "application/octet-stream":
        del changed["contentMediaType"]
        changed["format"] = "binary"
    return changed


def _predict_examples() -> dict[str, Any]:
    """Return one example request per task, and one for an embedding."""
    tasks = read_catalog().tasks
    examples: dict[str, Any] = {
        name: {"summary": f"{name}: {entry.summary}", "value": {"inputs": [entry.example_input]}}
        for name, entry in tasks.items()
    }
    image = tasks["image_classification"].example_input
    value = {"inputs": [image], "parameters": {"return": "embedding"}}
    return {**examples, "embedding": {"summary": "The embedding of an image", "value": value}}


def _complete(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> None:
    """Add every problem that an operation may return, and a command line."""
    is_open = path in OPEN_PATHS
    responses = operation["responses"]
    if is_open:
        operation["security"] = []
    rule = None if is_open else rule_of(method.upper(), path.replace("{version}", "1"))
    if rule is not None:
        operation["x-scope"] = rule.scope
    if _has_json_response(responses.get("422", {})):
        responses["422"].pop("content")
    for status, response in problem_responses(*_common_codes(operation, rule, is_open=is_open)).items():
        documented = responses.setdefault(str(status), {})
        if not _has_json_response(documented):
            examples = (
                documented.setdefault("content", {}).setdefault(PROBLEM_MEDIA_TYPE, {}).setdefault("examples", {})
            )
            examples.update(response["content"][PROBLEM_MEDIA_TYPE]["examples"])
    for status, response in responses.items():
        if status >= "400" and not _has_json_response(response):
            response["description"] = _STATUS[status]
            examples = response["content"][PROBLEM_MEDIA_TYPE]["examples"]
            schema = reference_to(SystemOneProblem if protocol_of(path) is ClientProtocol.SYSTEM_ONE else Problem)
            content = {"schema": schema, "examples": dict(sorted(examples.items()))}
            response["content"] = {error_media_type(path): content}
    if method == "head":
        for response in responses.values():
            response.pop("content", None)
    operation["responses"] = dict(sorted(responses.items()))
    if "curl" not in operation.get("description", ""):
        line = _curl(document, path, method, operation, is_open=is_open)
        operation["description"] = f"{operation.get('description', '')}\n\n```sh\n{line}\n```".strip()


def _common_codes(operation: Mapping[str, Any], rule: ScopeRule | None, *, is_open: bool) -> Iterable[ProblemCode]:
    """Return the problem codes that follow from the key, parameters and body of an operation."""
    # Every operation rejects query parameters that it does not have.
    yield from ("internal_error", "invalid_request", "unknown_host")
    if not is_open:
        yield from ("database_unavailable", "key_missing", "key_unknown", "rate_limited", "stopped")
    if rule is not None:
        yield "model_not_allowed" if rule.scope == "predict" else "insufficient_scope"
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
        yield from ("idempotency_key_in_use", "idempotency_key_reused")
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        yield from ("body_timeout", "body_too_large", "unsupported_coding")
    if "application/json" in content:
        yield from ("invalid_json", "json_too_large", "unsupported_media_type")
    if "multipart/form-data" in content:
        yield from ("field_too_large", "invalid_form", "too_many_parts")


def _has_json_response(response: Mapping[str, Any]) -> bool:
    return "application/json" in response.get("content", {})


def _curl(document: dict[str, Any], path: str, method: str, operation: dict[str, Any], *, is_open: bool) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(_example(parameter)))
    arguments = ["curl"]
    if method == "head":
        arguments.append("--head")
    elif method not in ("get", "post") or (method == "post" and "requestBody" not in operation):
        arguments += ["-X", method.upper()]
    if not is_open:
        arguments.append('-H "Authorization: Bearer $PLINTH_API_KEY"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        arguments += ["--json", shlex.quote(json.dumps(_body_example(document, body)))]
    return " ".join([*arguments, f"http://127.0.0.1:8000{path}"])


def _example(parameter: dict[str, Any]) -> Any:
    examples = parameter.get("schema", {}).get("examples") or [parameter["name"]]
    return examples[0]


def _body_example(document: dict[str, Any], body: dict[str, Any]) -> Any:
    if "examples" in body:
        return next(iter(body["examples"].values()))["value"]
    schema = body.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return (schema.get("examples") or [{}])[0]
