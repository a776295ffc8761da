"""Handling of prediction requests, shared by the route and the fast path.

It parses bodies, queues inputs, and encodes outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header

from app.http.errors import ProblemError, internal_error, summarize, to_problem_error
from app.http.problem_codes import ProblemCode
from app.http.request_body import is_json_type
from app.http.strict_json import quick_json, strict_json
from app.http.validation import to_findings
from app.predict.schemas import PredictRequest
from app.serving.batcher import PendingRequest
from app.serving.recorder import input_fields
from ml.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.http.middleware import GatewayMiddleware
    from app.serving.service import PredictService
    from app.serving.types import LoadedModel, ServedVersion, WatchRoute

    Outputs = list[dict[str, Any]]

UTF_8: Final = ("utf-8", "utf8", "us-ascii")
#: Media types whose body is one input.
RAW_TYPES: Final = (b"image/", b"audio/", b"text/plain")
RESPONSE_TYPE: Final = "application/json"
#: Codes of the problems that a prediction by any protocol may end with.
PREDICTION_PROBLEMS: Final[tuple[ProblemCode, ...]] = (
    "answer_too_large",
    "damaged",
    "deadline_exceeded",
    "invalid_input",
    "invalid_package",
    "not_found",
    "queue_full",
    "storage_unavailable",
)
MAX_CACHED_TYPES: Final = 256

_INPUTS_HINT: Final = 'Send a list of inputs: {"inputs": [{"text": "..."}]}.'
_FIELDS: Final = frozenset(PredictRequest.model_fields)


class BodyFormat(Enum):
    """Formats of a request body."""

    JSON = "json"
    #: The body is one input: an image, an audio clip or a text.
    RAW = "raw"
    FORM = "form"


class PredictInputs(NamedTuple):
    """Inputs of a request, and the parameters of all of them."""

    inputs: Sequence[Any]
    parameters: Mapping[str, Any]


class PredictHandler:
    """Parses, submits and answers prediction requests.

    Reading them from a connection and writing the response to it is up to the caller.
    """

    def __init__(self, service: PredictService, gateway: GatewayMiddleware) -> None:
        """`gateway` logs what fails."""
        self.service = service
        self._gateway = gateway

    def parse(self, content_type: str, body: bytes) -> PredictInputs:
        """Parse a body that is not a form; raises `ProblemError` 415 and 422."""
        if body_format(content_type) is BodyFormat.RAW:
            return PredictInputs([body], {})
        request = validate(strict_json(body))
        return PredictInputs(request.inputs, request.parameters)

    def parse_quickly(self, body_format: BodyFormat, body: bytes) -> PredictInputs | None:
        """Parse a small, usual body in a tenth of the time of `parse`.

        Return None where `parse` must judge it.
        """
        if body_format is BodyFormat.RAW:
            return PredictInputs([body], {})
        try:
            value = quick_json(body)
        except ValueError:
            return None
        if not isinstance(value, dict) or not value.keys() <= _FIELDS:
            return None
        inputs, parameters = value.get("inputs"), value.get("parameters", {})
        if not isinstance(inputs, list) or not inputs or not isinstance(parameters, dict):
            return None
        return PredictInputs(inputs, parameters) if all(isinstance(row, dict) for row in inputs) else None

    def submit(
        self,
        model: LoadedModel,
        request: PredictInputs,
        *,
        on_done: Callable[[Outputs | None, Exception | None], None],
        is_abandoned: Callable[[], bool],
    ) -> PendingRequest | None:
        """Queue a request for a loaded model without waiting.

        Return None where it needs more than one batch or sets of labels, or is slow to read. `on_done` is called once
        with the outputs or an error, unless `is_abandoned`. Raises `InputError` and `QueueFull`.
        """
        if len(request.inputs) > model.batcher.max_rows:
            return None
        predictor = model.predictor
        parameters = predictor.parse_parameters(request.parameters)
        rows = [predictor.read(raw_input, parameters) for raw_input in request.inputs]
        if parameters.coverage is not None or (predictor.splits_texts and any(map(predictor.needs_split, rows))):
            return None
        pending = PendingRequest(rows, parameters.output, on_done, is_abandoned)
        model.batcher.submit(pending)
        return pending

    def record(
        self,
        watch: WatchRoute,
        model: LoadedModel,
        request: PredictInputs | None,
        outputs: Outputs,
        request_id: str,
    ) -> None:
        """Count an answered request of a watched model, and record it if it was drawn."""
        recorder = self.service.recorder
        recorder.count(watch, model.served.version)
        if request is not None:
            recorder.offer(watch, model, request.inputs, input_fields(request.parameters), outputs, request_id)

    def respond(self, served: ServedVersion, outputs: list[dict[str, Any]]) -> bytes:
        """Encode the response, a `Prediction` as JSON."""
        return orjson.dumps(to_response(served, outputs))

    def respond_error(self, error: Exception | None, *, path: str, request_id: str) -> ProblemError:
        """Return the problem of a request that failed in the model.

        A failure that the client did not cause is logged.
        """
        if isinstance(error, InputError):
            return to_problem_error(error)
        self._gateway.log_failure(error, method="POST", path=path, request_id=request_id)
        return internal_error(request_id)


@lru_cache(MAX_CACHED_TYPES)
def body_format(content_type: str) -> BodyFormat:
    """Return the format of a body by its Content-Type; raises `ProblemError` 415."""
    media_type, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    is_json = is_json_type(content_type)
    if (is_json or media_type == b"text/plain") and charset.lower() not in UTF_8:
        detail = f"The charset {charset[:40]!r} is not supported. Send text as UTF-8."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_charset", detail)
    if is_json:
        return BodyFormat.JSON
    if media_type == b"multipart/form-data":
        return BodyFormat.FORM
    if media_type.startswith(RAW_TYPES):
        return BodyFormat.RAW
    name = repr(media_type.decode("latin-1")) if media_type else "of a body without Content-Type"
    supported = "application/json, image/*, audio/*, text/plain or multipart/form-data"
    detail = f"The type {name} is not supported. Send {supported}."
    raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def validate(value: Any) -> PredictRequest:
    """Validate a parsed body; raises `ProblemError` 422 with all findings."""
    try:
        return PredictRequest.model_validate(value)
    except ValidationError as error:
        schema = PredictRequest.model_json_schema()
        findings = to_findings(error.errors(include_url=False), body=value, schema=schema)
        if isinstance(value, Mapping) and "inputs" not in value:
            findings = [replace(item, hint=_INPUTS_HINT) if item.path == "inputs" else item for item in findings]
        raise ProblemError(422, "invalid_request", summarize(findings), errors=findings) from None


def to_response(served: ServedVersion, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a `Prediction` as JSON values."""
    response = {"model": served.name, "version": served.version, "task": served.task, "outputs": outputs}
    return response if served.size is None else {**response, "size": served.size}
