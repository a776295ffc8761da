"""Problem documents (RFC 9457): status and code of each exception (`STATUS_OF`), and `Retry-After`."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.client_protocols import ClientProtocol, intended_protocol, protocol_of
from app.http.problem_codes import PROBLEMS, ProblemCode
from app.serving.access import allowed_names
from app.serving.errors import (
    DeadlineExceeded,
    ModelNotAllowed,
    ModelNotFound,
    NotStreamable,
    QueueFull,
    ResponseTooLarge,
    ServingError,
)
from ml.errors import (
    PARAMETERS,
    DataError,
    Finding,
    InputError,
    MLError,
    PackageError,
    SpecError,
    unknown,
)
from store.errors import (
    ChecksumMismatch,
    Conflict,
    DamagedBlob,
    NotFound,
    PreconditionFailed,
    QuotaReached,
    StorageFull,
    StorageUnavailable,
    UploadLocked,
    UploadTooLong,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

PROBLEM_MEDIA_TYPE = "application/problem+json"
#: Type of errors on paths of other protocols: some of their clients read the message of no other.
PROTOCOL_MEDIA_TYPE = "application/json"
#: Status that the tus protocol defines.
CHECKSUM_MISMATCH = 460
#: Findings quoted in `detail`; `errors` has all of them.
MAX_QUOTED_FINDINGS = 3

#: The closest class in the method resolution order of an exception decides.
STATUS_OF: Mapping[type[Exception], tuple[int, ProblemCode]] = {
    NotFound: (404, "not_found"),
    Conflict: (409, "conflict"),
    PreconditionFailed: (412, "precondition_failed"),
    IntegrityError: (409, "conflict"),
    SpecError: (422, "invalid_spec"),
    DataError: (422, "invalid_data"),
    InputError: (422, "invalid_input"),
    PackageError: (409, "invalid_package"),
    DBAPIError: (503, "database_unavailable"),
    NoConnection: (503, "database_unavailable"),
    StorageUnavailable: (503, "storage_unavailable"),
    DamagedBlob: (409, "damaged"),
    StorageFull: (507, "storage_full"),
    UploadLocked: (423, "upload_locked"),
    UploadTooLong: (413, "beyond_upload_length"),
    ChecksumMismatch: (CHECKSUM_MISMATCH, "checksum_mismatch"),
    ModelNotFound: (404, "not_found"),
    ModelNotAllowed: (403, "model_not_allowed"),
    NotStreamable: (406, "not_a_stream"),
    QueueFull: (429, "queue_full"),
    QuotaReached: (429, "quota_reached"),
    DeadlineExceeded: (504, "deadline_exceeded"),
    ResponseTooLarge: (422, "answer_too_large"),
}

#: Header by which a client of the OpenAI protocol does not repeat a request; it would repeat each 409.
NO_RETRY = {"x-should-retry": "false"}

#: What to do next where there is no row of a kind.
NOT_FOUND_HINTS: Mapping[str, str] = {
    **{kind: f"GET /api/v1/{kind}s lists all." for kind in ("dataset", "job", "model", "key", "webhook")},
    "alias": "GET /api/v1/models/{name}/aliases lists those of a model.",
    "delivery": "GET /api/v1/webhooks/{webhook_id}/deliveries lists those of a webhook.",
    "evaluation": "GET /api/v1/datasets/{dataset}/evaluations lists those of a dataset.",
    "finding with rows": "GET /api/v1/datasets/{dataset}/report lists all findings.",
    "report of job": "A job writes it when it succeeds; GET /api/v1/jobs/{job_id} has its state.",
    "traffic split": "PUT to the same path creates one.",
    "upload": "Uploads expire and are deleted with their job; POST /api/v1/uploads creates another.",
    "watch": "PUT to the same path creates one.",
}


class OpenAIError(BaseModel):
    """A problem in the words of the OpenAI protocol."""

    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = None
    code: ProblemCode


class Problem(BaseModel):
    """An error response. `code` is for programs, `detail` states the problem and the next step."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no dataset 'mnist'. Known: digits."])
    code: ProblemCode = Field(examples=["not_found"])
    request_id: str
    errors: list[Finding] = []
    error: OpenAIError | str | None = Field(
        None,
        description="Only for clients of another protocol, in its form: an object below `/v1`, else `detail`.",
    )


class SystemOneProblem(Problem):
    """A problem document for clients of System One, which read `detail` alone."""

    detail: str | list[dict[str, Any]] | dict[str, str]  # type: ignore[assignment]  # another form of the same member


class ProblemError(HTTPException):
    """A request that is answered with a problem document.

    An `HTTPException`, so that FastAPI passes it on unchanged.
    """

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        *,
        errors: Sequence[Finding] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.errors = errors


def problem_response(
    request_id: str, error: HTTPException, *, path: str = "", protocol: ClientProtocol | None = None
) -> Response:
    """Return the problem document of an error.

    On paths of another protocol, or for its clients, it also has the member that they read.
    """
    protocol = protocol or protocol_of(path)
    is_openai = protocol is ClientProtocol.OPENAI
    headers = {**(error.headers or {}), **(NO_RETRY if is_openai and error.status_code == HTTPStatus.CONFLICT else {})}
    problem = Problem(
        title=title_of(error.status_code),
        status=error.status_code,
        detail=str(error.detail),
        code=error.code if isinstance(error, ProblemError) else "bad_request",
        request_id=request_id,
        errors=list(error.errors) if isinstance(error, ProblemError) else [],
        error=openai_error(error) if is_openai else str(error.detail) if protocol else None,
    )
    content = problem.model_dump(mode="json", exclude_none=True)
    if protocol is ClientProtocol.SYSTEM_ONE:
        content = system_one_error(content)
    if protocol in (ClientProtocol.SAGEMAKER, ClientProtocol.RERANK):
        content["message"] = problem.detail  # the member that boto3 shows beside `code`, and clients of Cohere
    media_type = PROBLEM_MEDIA_TYPE if protocol is None else PROTOCOL_MEDIA_TYPE
    return Response(orjson.dumps(content), error.status_code, headers, media_type)


def error_media_type(path: str) -> str:
    """Return the media type of errors on a path."""
    return PROBLEM_MEDIA_TYPE if protocol_of(path) is None else PROTOCOL_MEDIA_TYPE


def system_one_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem document whose `detail` clients of System One read."""
    if problem["status"] == HTTPStatus.UNPROCESSABLE_ENTITY:
        findings = problem["errors"] or [{"message": problem["detail"], "code": problem["code"]}]
        detail: Any = [
            {
                "loc": ["body", *(str(finding.get("path") or "").split(".") if finding.get("path") else [])],
                "msg": " ".join(filter(None, (finding["message"], finding.get("hint")))),
                "type": finding["code"],
            }
            for finding in findings
        ]
        return {**problem, "detail": detail}
    kind = "authentication_error" if problem["status"] == HTTPStatus.UNAUTHORIZED else problem["code"]
    return {**problem, "detail": {"error_type": kind, "message": problem["detail"]}}


def openai_error(error: HTTPException) -> OpenAIError:
    """Return the error as clients of the OpenAI protocol read it."""
    errors = error.errors if isinstance(error, ProblemError) else ()
    return OpenAIError(
        message=str(error.detail),
        type=_openai_type(error.status_code),
        param=errors[0].path if errors else None,
        code=error.code if isinstance(error, ProblemError) else "bad_request",
    )


def _openai_type(status: int) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return "authentication_error"
        case HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def problem_responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route with these codes, by status, with examples."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in sorted(codes):
        response = responses.setdefault(PROBLEMS[code].status, {"content": {PROBLEM_MEDIA_TYPE: {"examples": {}}}})
        examples = response["content"][PROBLEM_MEDIA_TYPE]["examples"]
        examples[code] = {"$ref": f"#/components/examples/{code}"}
    return responses


def reference_to(schema: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a schema of the OpenAPI document, which `app.openapi.document` adds to it."""
    return {"$ref": f"#/components/schemas/{schema.__name__}"}


def example_of(code: ProblemCode) -> dict[str, Any]:
    """Return the problem document that the API reference shows for a code."""
    example = PROBLEMS[code]
    problem = Problem(
        title=title_of(example.status),
        status=example.status,
        detail=example.detail,
        code=code,
        request_id="3f2b8c1d9e4a4f0b8a7c6d5e4f3a2b1c",
        errors=list(example.errors),
    )
    return problem.model_dump(mode="json", exclude_none=True)


def title_of(status: int) -> str:
    """Return the reason phrase of a status."""
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase


def install(app: FastAPI) -> None:
    """Respond to the exceptions of `STATUS_OF` and of Starlette with problem documents."""
    for error_type in STATUS_OF:
        app.add_exception_handler(error_type, _respond_listed)
    app.add_exception_handler(HTTPException, _respond_http)
    app.add_exception_handler(OSError, _respond_os_error)


def to_problem_error(error: Exception) -> ProblemError:
    """Convert an exception of the table."""
    status, code = next(STATUS_OF[error_type] for error_type in type(error).__mro__ if error_type in STATUS_OF)
    match error:
        case ServingError():
            return _serving_problem(error, status, code)
        case MLError():
            return _ml_problem(error, status, code)
        case IntegrityError():
            detail = "Conflicts with a concurrent request. Read the current state, then try again."
            return ProblemError(status, code, detail)
        case SQLAlchemyError() | StorageUnavailable():
            service = "The database" if isinstance(error, SQLAlchemyError) else "Blob storage"
            detail = f"{service} is unavailable. Try again in a moment; see /readyz."
            return ProblemError(status, code, detail, headers={"Retry-After": "2"})
        case UploadLocked():
            return ProblemError(status, code, _sentence(str(error)), headers={"Retry-After": "1"})
        case QuotaReached() if error.retry_seconds is not None:
            headers = {"Retry-After": str(math.ceil(error.retry_seconds))}
            return ProblemError(status, code, _sentence(str(error)), headers=headers)
        case StorageFull():
            hint = "Delete what is no longer needed, then try again."
        case NotFound():
            hint = NOT_FOUND_HINTS.get(error.kind, "")
            if error.kind == "model":
                error = NotFound("model", error.reference, allowed_names(error.names))
        case _:
            hint = ""
    return ProblemError(status, code, f"{_sentence(str(error))} {hint}".rstrip())


def _ml_problem(error: MLError, status: int, code: ProblemCode) -> ProblemError:
    if isinstance(error, InputError):
        findings = [replace(finding, path=_input_path(error.index, finding.path)) for finding in error.findings]
        return ProblemError(status, code, summarize(findings), errors=findings)
    detail = _sentence(error.message) + (f" {_sentence(error.hint)}" if error.hint else "")
    return ProblemError(status, code, detail, errors=error.findings)


def internal_error(request_id: str) -> ProblemError:
    """Return the problem of a failure that the client did not cause."""
    detail = f"Internal error. See the log for request id {request_id}."
    return ProblemError(500, "internal_error", detail)


def _serving_problem(error: ServingError, status: int, code: ProblemCode) -> ProblemError:
    match error:
        case ModelNotFound():
            finding = unknown("model", error.reference, allowed_names(error.names))
            names = finding.expected or "none yet; a job makes one"
            detail = f"There is no model {error.reference!r}. Known: {names}. {finding.hint or ''}".rstrip()
        case ModelNotAllowed():
            patterns = ", ".join(error.patterns[:8])
            detail = f"This key is for the models {patterns}, not for {error.name!r}. Send another key."
        case NotStreamable():
            detail = "Only the text of a single input can be streamed. Request 'Accept: application/json'."
        case QueueFull():
            seconds = max(1, math.ceil(error.retry_seconds))
            detail = f"The queue of this model is full ({error.waiting} waiting). Retry in {seconds} s."
            return ProblemError(status, code, detail, headers={"Retry-After": str(seconds)})
        case DeadlineExceeded():
            detail = "The deadline passed before the request was run. Increase the timeout, or retry."
        case ResponseTooLarge():
            detail = (
                f"The outputs of the first {error.answered:,} of {error.total:,} inputs exceed the limit of "
                f"{error.limit_bytes >> 20} MiB. Send fewer inputs at a time."
            )
            finding = Finding(code=code, message=detail, path=f"inputs.{error.answered - 1}")
            return ProblemError(status, code, detail, errors=[finding])
        case _:
            detail = _sentence(str(error))
    return ProblemError(status, code, detail)


def summarize(findings: Sequence[Finding]) -> str:
    """Describe the first findings, and their hints, in sentences."""
    quoted = findings[:MAX_QUOTED_FINDINGS]
    texts = (item.message.rstrip(".") for item in quoted)
    messages = "; ".join(
        f"{item.path}: {text}" if item.path else text for item, text in zip(quoted, texts, strict=True)
    )
    more = f"; and {len(findings) - len(quoted)} more (see errors)" if len(findings) > len(quoted) else ""
    hints = " ".join(dict.fromkeys(_sentence(item.hint) for item in quoted if item.hint))
    return f"{messages}{more}. {hints}".strip()


def _input_path(index: int, field: str | None) -> str:
    if field is not None and field.partition(".")[0] == PARAMETERS:
        return field
    return f"inputs.{index}.{field}" if field else f"inputs.{index}"


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text}."


def respond(request: Request, error: HTTPException) -> Response:
    """Return the problem document of an error for this request."""
    return problem_response(request.state.request_id, error, path=request.url.path)


def _respond_listed(request: Request, error: Exception) -> Response:
    return respond(request, to_problem_error(error))


def _respond_os_error(request: Request, error: Exception) -> Response:
    """Respond to a full disk; any other operating system error is internal."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    detail = "The disk is full. Delete datasets or models, then try again."
    return respond(request, ProblemError(507, "storage_full", detail))


def _respond_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error, ProblemError):
        return respond(request, error)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is no path {request.url.path}. /docs lists every path."
        return _respond_mistaken(request, ProblemError(404, "no_such_path", detail))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = _allowed_methods(request)
        detail = f"This path does not support {request.method}; use {methods}."
        return _respond_mistaken(request, ProblemError(405, "method_not_allowed", detail, headers={"Allow": methods}))
    return respond(request, error)


def respond_to_page_request(request: Request) -> Response:
    """Respond to a program that has requested a page."""
    detail = f"{request.url.path} is a page for people. /docs lists every path of the API."
    return _respond_mistaken(request, ProblemError(404, "no_such_path", detail))


def _respond_mistaken(request: Request, error: ProblemError) -> Response:
    """Respond to a missing path or method, with a hint after usual mistakes."""
    path = request.url.path
    protocol, hint = intended_protocol(path)
    if hint:
        error.detail = f"{error.detail} {hint}"
    return problem_response(request.state.request_id, error, path=path, protocol=protocol)


def _allowed_methods(request: Request) -> str:
    """List the methods of a path.

    The router knows only those of the first route that matched it. HEAD is not in the document: it works wherever GET
    does.
    """
    path = getattr(request.scope.get("route"), "path", "")
    methods = [method.upper() for method in request.app.openapi()["paths"].get(path, {})] or ["GET"]
    if "GET" in methods and "HEAD" not in methods:
        methods.insert(methods.index("GET") + 1, "HEAD")
    return ", ".join(methods)
