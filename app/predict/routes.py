"""`/predict`: JSON, or the thing itself."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from app.dependencies import CatalogDep, ModelReference, PredictServiceDep, SessionDep, SettingsDep
from app.http.errors import ProblemError, problem_responses, reference_to, summarize, to_findings
from app.http.pagination import Cursor, Limit, ListOf
from app.http.problem_codes import ProblemCode
from app.http.request_body import is_json, read_limited
from app.http.strict_json import strict_json
from app.predict.answers import prediction_json
from app.predict.schemas import Prediction, PredictRequest, ServedModel
from app.predict.views import served_model, serving
from app.serving.streaming import MEDIA_TYPE, events
from ml.errors import MAX_SHOWN_CHARACTERS, PARAMETERS, unknown
from store import models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.serving.model_pool import PredictService

router = APIRouter(prefix="/predict", tags=["predict"])

MOST_FILES = 1024
UTF_8 = ("utf-8", "utf8", "us-ascii")
TIMEOUT_HEADER = "X-Timeout-Seconds"
FORM_HINT = f"Send each input as a file part named 'file', and what holds for all of them as JSON in '{PARAMETERS}'."
THINGS = (b"image/", b"audio/", b"text/plain")
"""Kinds of body that are one input as they are."""
ANSWERED: Final[Mapping[str, tuple[str, ProblemCode, str]]] = {
    "image/png": ("image", "not_an_image", "an image"),
    "audio/wav": ("audio", "not_audio", "an audio clip"),
}
"""Media types of a single raw output: the field that holds it, the code without it, and what it is called."""


def _sample(file: str, summary: str) -> dict[str, Any]:
    """The named example of a body that JSON cannot hold: `x-file` is the path of a file of this service."""
    path = f"/static/samples/{file}"
    return {file.replace(".", "_"): {"summary": summary, "description": f"The file {path}.", "x-file": path}}


TIMEOUT_PARAMETER: Final = {
    "name": TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "description": "Seconds until the client needs the answer; a request still in the queue then is answered 504.",
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


@router.get("")
def list_served(
    session: SessionDep, catalog: CatalogDep, runtime: PredictServiceDep, limit: Limit = 50, cursor: Cursor = None
) -> ListOf[ServedModel]:
    """Every model that can be asked, in the version its bare name means: what it is asked, and how it does."""
    page = models.listing(session, limit=limit, cursor=cursor)
    loaded = {each.served.id: serving(each) for each in runtime.loaded()}

    def shown(name: str) -> ServedModel:
        row = models.version(session, name)
        return served_model(session, row, catalog, loaded.get(row.id))

    return ListOf.of(page, lambda row: shown(row.name))


@router.post(
    "/{model}",
    response_model=Prediction,
    openapi_extra=_BODY,
    responses={
        200: {"content": {**dict.fromkeys(ANSWERED, _BINARY), MEDIA_TYPE: {"schema": {"type": "string"}}}},
        **problem_responses(
            "answer_too_large",
            "bad_request",
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
    model: ModelReference, request: Request, runtime: PredictServiceDep, settings: SettingsDep
) -> Response:
    """Ask a model: JSON with `inputs`, one picture, recording or text as it is, or several files of a form.

    `name` means the alias `production` if there is one, else the latest version; `name@3`, `name@alias` are exact.

    With `Accept: text/event-stream` a text that is being written comes piece by piece: events `piece` with `text`, and
    last `end` with the whole answer.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -H "Content-Type: image/png" --data-binary @seven.png \\
      http://127.0.0.1:8000/predict/digits
    ```
    """
    inputs, parameters = await _asked(request, limit_bytes=settings.max_predict_bytes)
    if _wants(request, MEDIA_TYPE):
        return await _streamed(runtime, model, inputs, parameters)
    answer = await runtime.predict(model, inputs, parameters=parameters, until=_deadline(request))
    for kind in ANSWERED:
        if _wants(request, kind):
            return _as_it_is(answer.outputs, kind)
    served = answer.served
    return Response(prediction_json(served, answer.outputs), media_type="application/json")


async def _asked(request: Request, *, limit_bytes: int) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Inputs and parameters, in whatever form they came."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if (is_json(request) or kind == b"text/plain") and charset.lower() not in UTF_8:
        detail = f"Send text as UTF-8, not as {charset[:40]!r}."
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_charset", detail)
    if is_json(request):
        return _from_json(await read_limited(request, limit_bytes))
    if kind == b"multipart/form-data":
        return await _from_form(request)
    if kind.startswith(THINGS):
        return [await read_limited(request, limit_bytes)], {}
    told = kind.decode("latin-1") or "a body without Content-Type"
    detail = f"Send application/json, image/*, audio/*, text/plain or multipart/form-data, not {told}."
    raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def _deadline(request: Request) -> float | None:
    """Monotonic time after which nobody waits for an answer, as `X-Timeout-Seconds` says."""
    asked = request.headers.get(TIMEOUT_HEADER)
    if asked is None:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        detail = f"{TIMEOUT_HEADER} must be a number of seconds above 0, not {asked[:40]!r}."
        raise ProblemError(422, "invalid_request", detail)
    return time.monotonic() + seconds


def _from_json(body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
    asked = _validated(strict_json(body))
    return asked.inputs, asked.parameters


async def _from_form(request: Request) -> tuple[Sequence[Any], Mapping[str, Any]]:
    async with request.form(max_files=MOST_FILES, max_fields=10) as form:
        inputs, said = [], []
        for name, item in form.multi_items():
            value = await item.read() if isinstance(item, UploadFile) else item.encode()
            if name == PARAMETERS:
                said.append(value)
            elif isinstance(item, UploadFile):
                inputs.append(value)
            else:
                raise _no_such_field(name)
    if not inputs:
        raise ProblemError(422, "no_inputs", f"The form has no file. {FORM_HINT}")
    if len(said) > 1:
        raise ProblemError(422, "invalid_request", f"The form has {PARAMETERS} {len(said)} times. {FORM_HINT}")
    parameters = strict_json(said[0], field=PARAMETERS) if said else {}
    return inputs, _validated({"inputs": [{}], PARAMETERS: parameters}).parameters


def _no_such_field(name: str) -> ProblemError:
    finding = unknown(
        "form field", name, ("file", PARAMETERS), path=name[:MAX_SHOWN_CHARACTERS], default_hint=FORM_HINT
    )
    return ProblemError(422, "invalid_request", f"{finding.message}. {finding.hint}", errors=[finding.to_json()])


def _validated(value: Any) -> PredictRequest:
    try:
        return PredictRequest.model_validate(value)
    except ValidationError as error:
        schema = PredictRequest.model_json_schema()
        items = to_findings(error.errors(include_url=False), body=value, schema=schema)
        raise ProblemError(422, "invalid_request", summarize(items), errors=items) from None


def _wants(request: Request, kind: str) -> bool:
    return request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower() == kind


async def _streamed(
    runtime: PredictService, model: str, inputs: Sequence[Any], parameters: Mapping[str, Any]
) -> Response:
    served, pieces = await runtime.stream(model, inputs, parameters=parameters)

    def whole(output: dict[str, Any]) -> dict[str, Any]:
        return {"model": served.name, "version": served.version, "task": served.task, "outputs": [output]}

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(pieces, whole=whole), media_type=MEDIA_TYPE, headers=headers)


def _as_it_is(outputs: Sequence[Mapping[str, Any]], kind: str) -> Response:
    field, code, noun = ANSWERED[kind]
    if len(outputs) != 1 or not isinstance(outputs[0].get(field), str):
        detail = f"Only a single output that is {noun} can be sent as {kind}. Send 'Accept: application/json'."
        raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, code, detail)
    return Response(base64.b64decode(outputs[0][field]), media_type=kind)
