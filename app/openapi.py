"""The OpenAPI document and its page: the whole API, tried out in a browser, without a byte from another host."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from app.http.errors import PROBLEM_MEDIA_TYPE, Problem
from app.http.middleware import OPEN_PATHS

if TYPE_CHECKING:
    from fastapi import FastAPI

TAGS = [
    {"name": "datasets", "description": "1. Bring data: small files at once, or a resumable upload and then its id."},
    {"name": "uploads", "description": "1b. Resumable uploads of any size, by the tus 1.0 protocol."},
    {"name": "catalog", "description": "2. What can be trained, with the schema of every option."},
    {"name": "jobs", "description": "3. Train: start a job, watch it, stop it, read its report."},
    {"name": "models", "description": "4. What came out: versions, lineage, files, aliases."},
    {"name": "predict", "description": "5. Use it."},
    {"name": "keys", "description": "Who may come in."},
    {"name": "system", "description": "How the service itself is doing."},
]

DESCRIPTION = """\
Upload data, train a model, use it. Every call but those under *system* that say so needs
`Authorization: Bearer <key>`: press **Authorize** and paste the key that `plinth up` printed.

Errors are RFC 9457 problem documents (`application/problem+json`); `errors` lists everything that was wrong at once.
A `POST` that creates something takes an `Idempotency-Key`: sent twice, it is done once.
"""

_STATUS = {
    "400": "The request cannot be understood, or came under a name this service does not answer to.",
    "401": "The key is missing, unknown or revoked.",
    "404": "There is nothing of this name.",
    "405": "This path does not know the method.",
    "406": "The answer cannot be given in the form that `Accept` asks for.",
    "408": "The body stopped arriving.",
    "409": "It does not fit the present state.",
    "412": "It was changed by someone else in the meantime.",
    "413": "The body is larger than the limit, which is named.",
    "415": "The body is of a type this path does not read.",
    "422": "Something in the request is wrong; `errors` lists everything at once.",
    "423": "Someone else is writing to this upload.",
    "429": "Too many at once; `Retry-After` says when to come again.",
    "460": "The checksum does not match what arrived; nothing of it was kept.",
    "500": "Our fault; the log holds more under the request id.",
    "504": "The time that the request gave itself was over.",
    "503": "A part of the service does not answer; try again.",
    "507": "There is no space left on the disk.",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plinth API</title>
<link rel="stylesheet" href="static/swagger-ui.css">
<link rel="icon" href="static/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="static/swagger-ui-bundle.js"></script>
<script src="static/docs.js"></script>
</body>
</html>
"""

# Highlighting is off because it hangs the page on answers of more than a megabyte.
_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, filter: true,
  persistAuthorization: true, displayRequestDuration: true, defaultModelsExpandDepth: 0, syntaxHighlight: false,
});
"""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/")
def root() -> Response:
    """A browser that comes by is shown the page."""
    return RedirectResponse("docs")


@router.get("/docs")
def docs_page() -> Response:
    """Swagger UI, from files of this machine."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/static/docs.js")
def docs_script() -> Response:
    """Starts Swagger UI; a file of its own, so that the page needs no inline script."""
    return Response(_SCRIPT, media_type="text/javascript")


def install(app: FastAPI) -> None:
    """Serve the page, its files, and a document that says exactly what the service does."""
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_static_files()), name="static")

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _static_files() -> Path:
    """The folder of the `fastapi-offline` package that holds Swagger UI; nothing of the package is run."""
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise RuntimeError("the package fastapi-offline is missing; pip install 'plinth[api]'")
    return Path(found.origin).parent / "static"


def _document(app: FastAPI) -> dict[str, Any]:
    emitted = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": "/"}],
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    document: dict[str, Any] = _with_binary_files(emitted)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "`plinth up` prints a key; `plinth keys create` makes more.",
        }
    }
    document["security"] = [{"key": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(document, path, method, operation)
    return document


def _with_binary_files(value: Any) -> Any:
    """FastAPI writes `contentMediaType` for a file; Swagger UI and client generators look for `format: binary`."""
    if isinstance(value, list):
        return [_with_binary_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_binary_files(item) for key, item in value.items()}
    if changed.get("contentMediaType") == "application/octet-stream":
        del changed["contentMediaType"]
        changed["format"] = "binary"
    return changed


def _complete(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what every operation can answer, errors in their one form, and a line for the shell."""
    is_open = path in OPEN_PATHS
    has_body = "requestBody" in operation
    responses = operation["responses"]
    if is_open:
        operation["security"] = []
    always = ["400", "500", *([] if is_open else ["401", "503"]), *(["408", "413"] if has_body else [])]
    for status in always:
        responses.setdefault(status, {})
    for status in sorted(responses):
        if status >= "400" and not _has_answer_of_its_own(responses[status]):
            responses[status]["description"] = _STATUS[status]
            content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            responses[status]["content"] = content
    if method == "head":
        for response in responses.values():
            response.pop("content", None)
    operation["responses"] = dict(sorted(responses.items()))
    if "curl" not in operation.get("description", ""):
        line = _curl(document, path, method, operation, is_open=is_open)
        operation["description"] = f"{operation.get('description', '')}\n\n```sh\n{line}\n```".strip()


def _has_answer_of_its_own(response: dict[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return bool(schema) and not schema.get("$ref", "").endswith("/HTTPValidationError")


def _curl(document: dict[str, Any], path: str, method: str, operation: dict[str, Any], *, is_open: bool) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(_example(parameter)))
    words = ["curl"]
    if method == "head":
        words.append("--head")
    elif method not in ("get", "post") or (method == "post" and "requestBody" not in operation):
        words += ["-X", method.upper()]
    if not is_open:
        words.append('-H "Authorization: Bearer $PLINTH_API_KEY"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        words += ["--json", shlex.quote(json.dumps(_body_example(document, body)))]
    return " ".join([*words, f"http://127.0.0.1:8000{path}"])


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
