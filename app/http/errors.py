"""From what went wrong to what the client reads: RFC 9457 `application/problem+json`, one table, one shape."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.http.problem_codes import PROBLEMS, ProblemCode
from app.http.schema_fields import known_fields
from app.serving.errors import (
    DeadlineExceeded,
    ModelNotFound,
    NotStreamable,
    QueueFull,
    ResponseTooLarge,
    ServingError,
)
from ml.errors import (
    MAX_SHOWN_CHARACTERS,
    PARAMETERS,
    DataError,
    Finding,
    InputError,
    MLError,
    PackageError,
    SpecError,
    shorten,
    unknown,
)
from store.errors import (
    ChecksumMismatch,
    Conflict,
    DamagedBlob,
    NotFound,
    PreconditionFailed,
    StorageFull,
    StorageUnavailable,
    UploadLocked,
    UploadTooLong,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

PROBLEM_MEDIA_TYPE = "application/problem+json"
CHECKSUM_MISMATCH = 460
"""The tus protocol's own status."""
MAX_LISTED_VALUES = 100
"""Findings of one body. Each is compared with what there is, and an object can have a million fields."""

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
    NotStreamable: (406, "not_a_stream"),
    QueueFull: (429, "queue_full"),
    DeadlineExceeded: (504, "deadline_exceeded"),
    ResponseTooLarge: (422, "answer_too_large"),
}

_LISTED = frozenset({"dataset", "job", "model", "key"})
_TAGS = frozenset({"union_tag_invalid", "union_tag_not_found"})
_ABSENT = frozenset({"missing", "union_tag_not_found"})
_IN_WORDS: Mapping[str, str] = {
    "union_tag_invalid": "there is no {tag!r}; known: {expected_tags}",
    "union_tag_not_found": "Field required",
    "model_attributes_type": "Input should be a JSON object",
    "dict_type": "Input should be a JSON object",
    "model_type": "Input should be a JSON object",
}
"""Where Pydantic speaks of Python to someone who sent JSON."""


class ProblemItem(BaseModel):
    """One thing that is wrong, and where. `path` points into the request (`schedule.epochs`)."""

    code: str
    message: str
    path: str | None = None
    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    expected: str | None = None
    found: str | None = None
    hint: str | None = None


class Problem(BaseModel):
    """What every error looks like. `detail` says what to do next; `code` is for programs."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no dataset 'mnist'. Known: digits."])
    code: ProblemCode = Field(examples=["not_found"])
    request_id: str
    errors: list[ProblemItem] = []


class ProblemError(HTTPException):
    """A request that is answered with a problem document. An HTTPException, so that FastAPI lets it pass untouched."""

    def __init__(
        self,
        status: int,
        code: ProblemCode,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.errors = errors


def problem_response(request_id: str, refused: HTTPException) -> Response:
    """The answer for `refused`."""
    problem = Problem(
        title=title_of(refused.status_code),
        status=refused.status_code,
        detail=str(refused.detail),
        code=refused.code if isinstance(refused, ProblemError) else "bad_request",
        request_id=request_id,
        errors=[ProblemItem.model_validate(item) for item in getattr(refused, "errors", ())],
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, refused.status_code, dict(refused.headers or {}), PROBLEM_MEDIA_TYPE)


def problem_responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these codes, by status, each with its example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in sorted(codes):
        response = responses.setdefault(PROBLEMS[code].status, {"content": {PROBLEM_MEDIA_TYPE: {"examples": {}}}})
        examples = response["content"][PROBLEM_MEDIA_TYPE]["examples"]
        examples[code] = {"$ref": f"#/components/examples/{code}"}
    return responses


def reference_to(schema: type[BaseModel]) -> dict[str, str]:
    """A reference to a schema of the OpenAPI document; `app.openapi.document` adds the schema itself."""
    return {"$ref": f"#/components/schemas/{schema.__name__}"}


def example_of(code: ProblemCode) -> dict[str, Any]:
    """A problem document of this code, as the API reference shows it."""
    example = PROBLEMS[code]
    problem = Problem(
        title=title_of(example.status),
        status=example.status,
        detail=example.detail,
        code=code,
        request_id="3f2b8c1d9e4a4f0b8a7c6d5e4f3a2b1c",
        errors=[ProblemItem.model_validate(item) for item in example.errors],
    )
    return problem.model_dump(mode="json", exclude_none=True)


def title_of(status: int) -> str:
    """The standard phrase of a status."""
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase


def install(app: FastAPI) -> None:
    """Answer every exception of the table, and what FastAPI and Starlette raise, with a problem document."""
    for kind in STATUS_OF:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(OSError, _operating_system)


def to_problem_error(error: Exception) -> ProblemError:
    """An exception of the table as the client is told of it."""
    status, code = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    if isinstance(error, ServingError):
        return _serving_problem(error, status, code)
    if isinstance(error, IntegrityError):
        return ProblemError(status, code, "Someone else did the same just now. Look at what is there, then try again.")
    if isinstance(error, SQLAlchemyError | StorageUnavailable):
        place = "database" if isinstance(error, SQLAlchemyError) else "store of files"
        detail = f"The {place} does not answer. Try again in a moment; /readyz says more."
        return ProblemError(status, code, detail, headers={"Retry-After": "2"})
    if isinstance(error, StorageFull):
        return ProblemError(status, code, f"{_sentence(str(error))} Delete what is not needed there, then try again.")
    if isinstance(error, NotFound) and error.kind in _LISTED:
        return ProblemError(status, code, f"{_sentence(str(error))} GET /api/v1/{error.kind}s lists what there is.")
    if isinstance(error, UploadLocked):
        return ProblemError(status, code, _sentence(str(error)), headers={"Retry-After": "1"})
    if not isinstance(error, MLError):
        return ProblemError(status, code, _sentence(str(error)))
    detail = _sentence(error.message) + (f" {_sentence(error.hint)}" if error.hint else "")
    errors = [finding.to_json() for finding in error.findings]
    if isinstance(error, InputError):
        errors = [{**finding, "path": _place_of_input(error.index, finding.get("path"))} for finding in errors]
        detail = summarize(errors)
    return ProblemError(status, code, detail, errors=errors)


def internal_error(request_id: str) -> ProblemError:
    """Return the problem of a failure that the client did not cause."""
    detail = f"Internal error. See the log for request id {request_id}."
    return ProblemError(500, "internal_error", detail)


def _serving_problem(error: ServingError, status: int, code: ProblemCode) -> ProblemError:
    match error:
        case ModelNotFound():
            finding = unknown("model", error.reference, error.known)
            known = finding.expected or "none yet; a job makes one"
            detail = f"There is no model {error.reference!r}. Known: {known}. {finding.hint or ''}".rstrip()
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
            return ProblemError(status, code, detail, errors=[finding.to_json()])
        case _:
            detail = _sentence(str(error))
    return ProblemError(status, code, detail)


def to_findings(
    errors: Sequence[Any], *, body: Any = None, schema: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Pydantic's errors as items of a problem document; `schema` is of the body, and says which fields there are."""
    return [_finding_of(error, body, schema or {}) for error in errors[:MAX_LISTED_VALUES]]


def _finding_of(error: Mapping[str, Any], body: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    kind = error["type"]
    place = location_path(error, body)
    if kind == "extra_forbidden":
        finding = unknown("field", str(place[-1]), known_fields(schema, error["loc"]), path=_dotted(place))
        return {**finding.to_json(), "code": kind}
    told = {name: str(each) for name, each in error.get("ctx", {}).items()}
    if "tag" in told:
        told["tag"] = told["tag"][:MAX_SHOWN_CHARACTERS]
    return _without_none(
        code=kind,
        path=_dotted(place) or None,
        message=_IN_WORDS[kind].format(**told) if kind in _IN_WORDS else error["msg"],
        found=told.get("tag") or (shorten(error.get("input")) if kind not in _ABSENT else None),
    )


def summarize(items: Sequence[Mapping[str, Any]]) -> str:
    """The first few findings in a sentence each."""
    told = "; ".join(
        f"{item['path']}: {item['message']}" if item.get("path") else item["message"] for item in items[:3]
    )
    more = f"; and {len(items) - 3} more (see errors)" if len(items) > 3 else ""
    hints = " ".join(dict.fromkeys(_sentence(item["hint"]) for item in items[:3] if item.get("hint")))
    return f"{told}{more}. {hints}".strip()


def location_path(error: Mapping[str, Any], body: Any) -> tuple[str | int, ...]:
    """Where it is in `body`. The branch of a union is part of Pydantic's location, but not of what was sent."""
    location = error["loc"]
    places = location[1:] if location[:1] and location[0] in ("body", "query", "path", "header") else location
    parts, value = [], body
    for position, part in enumerate(places):
        is_absent = error["type"] == "missing" and position == len(places) - 1
        within = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(within, Mapping) and part in within:
            value = within[part]
        elif body is not None and not is_absent:
            continue
        parts.append(part)
    if error["type"] in _TAGS:
        # Where a field says which kind of object it is, Pydantic names the field only in words.
        parts.append(error["ctx"]["discriminator"].strip("'"))
    return tuple(parts)


def _place_of_input(index: int, field: str | None) -> str:
    if field is not None and field.partition(".")[0] == PARAMETERS:
        return field
    return f"inputs.{index}.{field}" if field else f"inputs.{index}"


def _dotted(place: Sequence[str | int]) -> str:
    """`schedule.epochs`."""
    return ".".join(str(part) for part in place)


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text}."


def _without_none(**items: Any) -> dict[str, Any]:
    return {key: value for key, value in items.items() if value is not None}


def _respond(request: Request, refused: HTTPException) -> Response:
    return problem_response(request.state.request_id, refused)


def _known(request: Request, error: Exception) -> Response:
    return _respond(request, to_problem_error(error))


def _operating_system(request: Request, error: Exception) -> Response:
    """A full disk is an answer; any other trouble with a file is ours."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    return _respond(
        request, ProblemError(507, "storage_full", "The disk is full. Delete datasets or models, then try again.")
    )


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error, ProblemError):
        return _respond(request, error)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _respond(
            request, ProblemError(404, "no_such_path", f"There is no {request.url.path} here. /docs lists every path.")
        )
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _methods(request)
        detail = f"{request.method} is not possible on this path; use {allowed}."
        return _respond(request, ProblemError(405, "method_not_allowed", detail, headers={"Allow": allowed}))
    return _respond(request, error)


def _methods(request: Request) -> str:
    """All methods of a path; the routing knows only those of the first route that it met there."""
    path = getattr(request.scope.get("route"), "path", "")
    return ", ".join(method.upper() for method in request.app.openapi()["paths"].get(path, {})) or "GET"


def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    items = to_findings(error.errors(), body=error.body, schema=_body_schema(request))
    return _respond(request, ProblemError(422, "invalid_request", summarize(items), errors=items))


def _body_schema(request: Request) -> dict[str, Any]:
    """Of the body that this route reads, with what it refers to."""
    document = request.app.openapi()
    path = getattr(request.scope.get("route"), "path", "")
    operation = document["paths"].get(path, {}).get(request.method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return {**schema, "components": document.get("components", {})}
