"""`/predict`: JSON, or one input as it is, or several files."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from app.dependencies import CatalogDep, ModelReference, PredictServiceDep, SessionDep, SettingsDep
from app.http.errors import ProblemError, problem_responses, reference_to
from app.http.pagination import Cursor, Limit, ListOf
from app.http.problem_codes import ProblemCode
from app.http.request_body import read_limited
from app.http.strict_json import strict_json
from app.predict.event_stream import MEDIA_TYPE, STREAM_HEADERS, NumberedEvents, to_events
from app.predict.handler import RESPONSE_TYPE, BodyFormat, PredictHandler, PredictInputs, body_format, validate
from app.predict.handler import to_response as to_prediction
from app.predict.schemas import Prediction, PredictRequest, ServedModel
from app.predict.views import to_served_model, to_serving
from app.serving.access import listed_names
from ml.errors import MAX_SHOWN_CHARACTERS, PARAMETERS, unknown
from store import models

if TYPE_CHECKING:
    from collections.abc import Sequence

router = APIRouter(prefix="/predict", tags=["predict"])

MAX_FILES: Final = 1024
MAX_FIELDS: Final = 10
TIMEOUT_HEADER: Final = "X-Timeout-Seconds"
FORM_HINT: Final = f"Send each input as a file part named 'file', and shared parameters as JSON in '{PARAMETERS}'."
#: Media types that a single output can be sent as: the field of the output, the code without it, and its name.
OUTPUT_TYPES: Final[Mapping[str, tuple[str, ProblemCode, str]]] = {
    "image/png": ("image", "not_an_image", "an image"),
    "audio/wav": ("audio", "not_audio", "an audio clip"),
}


def _sample(file: str, summary: str) -> dict[str, Any]:
    """Return the named example of a binary body.

    `x-file` is the path of a file that this service serves.
    """
    path = f"/static/samples/{file}"
    return {file.replace(".", "_"): {"summary": summary, "description": f"The file {path}.", "x-file": path}}


TIMEOUT_PARAMETER: Final = {
    "name": TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "description": "Seconds until the client needs the response; a request that still waits then gets status 504.",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": reference_to(PredictRequest)},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "parameters": {"type": "string", "default": "{}", "description": "JSON, for all inputs."},
                    },
                    "required": ["file"],
                },
                "examples": {"files": {"summary": "Every file is one input", "value": {"parameters": "{}"}}},
            },
            "text/plain": {
                "schema": {"type": "string"},
                "examples": {"sentence": {"summary": "One text", "value": "A quiet, moving film."}},
            },
            "audio/wav": {**_BINARY, "examples": _sample("seven.wav", "A spoken digit")},
            "image/jpeg": {**_BINARY, "examples": _sample("seven.jpg", "A handwritten digit")},
            "image/png": {**_BINARY, "examples": _sample("seven.png", "A handwritten digit")},
        },
    },
    "parameters": [TIMEOUT_PARAMETER],
}


Milliseconds = Annotated[float, Field(gt=0, le=3_600_000, allow_inf_nan=False)]
BudgetMs = Annotated[
    Milliseconds | None,
    Query(description="Milliseconds that the response may take: the largest nested size in time answers."),
]
BudgetHeader = Annotated[
    Milliseconds | None, Header(alias="X-Budget-Ms", description="The same as `budget_ms`, as a header.")
]
SplitKey = Annotated[
    str | None,
    Header(
        alias="X-Split-Key",
        min_length=1,
        max_length=200,
        description="Requests with one key get the same version where an alias splits its traffic (default: "
        "`X-Request-Id`).",
    ),
]


async def _predict_handler(request: Request) -> PredictHandler:
    return request.app.state.predict_handler  # type: ignore[no-any-return]  # set by create_app


PredictHandlerDep = Annotated[PredictHandler, Depends(_predict_handler)]


@router.get("")
def list_served(
    session: SessionDep, catalog: CatalogDep, service: PredictServiceDep, limit: Limit = 50, cursor: Cursor = None
) -> ListOf[ServedModel]:
    """List the models that can be used, with their inputs, outputs and load.

    Each is listed in the version that its bare name means.
    """
    page = models.listing(session, limit=limit, cursor=cursor, among=listed_names(session))
    loaded = {model.served.id: to_serving(model) for model in service.pool.list_loaded()}

    def to_response(name: str) -> ServedModel:
        row = models.version(session, name)
        return to_served_model(session, row, catalog, loaded.get(row.id))

    return ListOf.of(page, lambda row: to_response(row.name))


@router.post(
    "/{model}",
    response_model=Prediction,
    openapi_extra=_BODY,
    responses={
        200: {"content": {**dict.fromkeys(OUTPUT_TYPES, _BINARY), MEDIA_TYPE: {"schema": {"type": "string"}}}},
        **problem_responses(
            "answer_too_large",
            "bad_request",
            "conflict",
            "damaged",
            "deadline_exceeded",
            "invalid_input",
            "invalid_package",
            "no_inputs",
            "not_a_stream",
            "not_an_image",
            "not_audio",
            "not_found",
            "queue_full",
            "storage_unavailable",
            "unsupported_charset",
            "unsupported_media_type",
        ),
    },
)
async def predict(
    model: ModelReference,
    request: Request,
    handler: PredictHandlerDep,
    settings: SettingsDep,
    budget_ms: BudgetMs = None,
    budget_header: BudgetHeader = None,
    split_key: SplitKey = None,
) -> Response:
    """Predict with a model.

    Send JSON with `inputs`; one image, audio clip or text as the body; or several files as a form.

    `name` means the alias `production` if there is one, else the latest version; `name@3`, `name@alias` are exact. The
    id of a job means its model, and while it trains, its newest checkpoint, whose step is the `version`.

    With `budget_ms`, or the header `X-Budget-Ms`, a model of several sizes answers with the largest that is in time.

    With `Accept: text/event-stream`, generated text is streamed: events `piece` with `text`, and finally `end` with the
    whole response.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -H "Content-Type: image/png" --data-binary @seven.png \\
      http://127.0.0.1:8000/predict/digits
    ```
    """
    inputs, parameters = await _read(request, handler, limit_bytes=settings.max_predict_bytes)
    if _accepts(request, MEDIA_TYPE):
        return await _stream(handler, model, inputs, parameters)
    budget_ms = budget_header if budget_ms is None else budget_ms
    result = await handler.service.predict(
        model,
        inputs,
        parameters=parameters,
        deadline=_deadline(request),
        budget_seconds=None if budget_ms is None else budget_ms / 1000,
        split_key=split_key or request.state.request_id,
    )
    for media_type in OUTPUT_TYPES:
        if _accepts(request, media_type):
            return _file_response(result.outputs, media_type)
    return Response(handler.respond(result.served, result.outputs), media_type=RESPONSE_TYPE)


async def _read(request: Request, handler: PredictHandler, *, limit_bytes: int) -> PredictInputs:
    content_type = request.headers.get("content-type", "")
    if body_format(content_type) is BodyFormat.FORM:
        return await _read_form(request)
    return handler.parse(content_type, await read_limited(request, limit_bytes))


def _deadline(request: Request) -> float | None:
    """Return the deadline that `X-Timeout-Seconds` sets, a monotonic time."""
    value = request.headers.get(TIMEOUT_HEADER)
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        detail = f"{TIMEOUT_HEADER} must be a number of seconds above 0, not {value[:40]!r}."
        raise ProblemError(422, "invalid_request", detail)
    return time.monotonic() + seconds


async def _read_form(request: Request) -> PredictInputs:
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
        inputs, parameter_fields = [], []
        for name, item in form.multi_items():
            value = await item.read() if isinstance(item, UploadFile) else item.encode()
            if name == PARAMETERS:
                parameter_fields.append(value)
            elif isinstance(item, UploadFile):
                inputs.append(value)
            else:
                raise _unknown_field(name)
    if not inputs:
        raise ProblemError(422, "no_inputs", f"The form has no file. {FORM_HINT}")
    if len(parameter_fields) > 1:
        detail = f"The form has {PARAMETERS} {len(parameter_fields)} times. {FORM_HINT}"
        raise ProblemError(422, "invalid_request", detail)
    parameters = strict_json(parameter_fields[0], field=PARAMETERS) if parameter_fields else {}
    return PredictInputs(inputs, validate({"inputs": [{}], PARAMETERS: parameters}).parameters)


def _unknown_field(name: str) -> ProblemError:
    path = name[:MAX_SHOWN_CHARACTERS]
    finding = unknown("form field", name, ("file", PARAMETERS), path=path, default_hint=FORM_HINT)
    return ProblemError(422, "invalid_request", f"{finding.message}. {finding.hint}", errors=[finding])


def _accepts(request: Request, media_type: str) -> bool:
    """Return whether `Accept` lists a media type first."""
    return request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower() == media_type


async def _stream(
    handler: PredictHandler, model: str, inputs: Sequence[Any], parameters: Mapping[str, Any]
) -> Response:
    served, pieces = await handler.service.stream(model, inputs, parameters=parameters)
    events = to_events(pieces, NumberedEvents(lambda output: to_prediction(served, [output])))
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=STREAM_HEADERS)


def _file_response(outputs: Sequence[Mapping[str, Any]], media_type: str) -> Response:
    field, code, noun = OUTPUT_TYPES[media_type]
    if len(outputs) != 1 or not isinstance(outputs[0].get(field), str):
        detail = f"Only a single output that is {noun} can be sent as {media_type}. Send 'Accept: application/json'."
        raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, code, detail)
    return Response(base64.b64decode(outputs[0][field]), media_type=media_type)
