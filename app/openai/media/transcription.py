"""Transcription by any model of the task `speech_recognition`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from anyio import to_thread
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from app.http.errors import ProblemError, summarize
from app.http.validation import to_findings
from app.openai.fields import invalid_field, names_in_errors
from app.openai.media.schemas import TranscriptionRequest
from app.openai.required_task import require_task
from ml.data.files import audio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from app.serving.service import PredictService

TASK: Final = "speech_recognition"
FILE: Final = "file"
MAX_FIELDS: Final = 30
#: Code of ISO 639 for a language that nothing has determined.
UNDETERMINED: Final = "und"
FILE_HINT: Final = "Send the audio file as a part named 'file' of a form, with its file name."
#: Fields of a form whose text is JSON.
_JSON_FIELDS: Final = frozenset({"stream", "temperature"})


async def read_transcription_form(request: Request) -> tuple[TranscriptionRequest, bytes]:
    """Return the fields and the file of a form; raises `ProblemError` 415 and 422."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ProblemError(415, "unsupported_media_type", f"This path reads multipart/form-data. {FILE_HINT}")
    async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
        file = form.get(FILE)
        data = await file.read() if isinstance(file, UploadFile) else None
        fields = _to_fields(form)
    schema = TranscriptionRequest.model_json_schema()
    try:
        options = TranscriptionRequest.model_validate(fields)
    except ValidationError as error:
        findings = to_findings(error.errors(include_url=False), body=fields, schema=schema)
        raise ProblemError(422, "invalid_request", summarize(findings), errors=findings) from None
    if data is None:
        raise invalid_field(FILE, "the form has no audio file", hint=FILE_HINT)
    return options, data


async def transcribe(service: PredictService, request: TranscriptionRequest, data: bytes) -> dict[str, Any]:
    """Return `Transcription` as JSON values; raises the errors of `PredictService.predict`."""
    await require_task(service, request.model, TASK, ability="transcribes audio")
    with names_in_errors({"": FILE, "audio": FILE}):
        result = await service.predict(request.model, [data], parameters={})
    seconds = await to_thread.run_sync(audio.read_seconds, data)
    usage = {} if seconds is None else {"usage": {"type": "duration", "seconds": seconds}}
    transcription = {"text": result.outputs[0]["text"], **usage}
    if request.response_format != "verbose_json":
        return transcription
    language = request.language or UNDETERMINED
    return {"task": "transcribe", "language": language, "duration": seconds, **transcription}


def to_events(transcription: Mapping[str, Any]) -> bytes:
    """Return a transcription as events, whose only piece is the whole text."""
    text = transcription["text"]
    events = [{"type": "transcript.text.delta", "delta": text}, {"type": "transcript.text.done", "text": text}]
    return b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events)


def _to_fields(form: FormData) -> dict[str, Any]:
    """Return the fields of a form.

    A name that ends with `[]` is that of a list.
    """
    fields: dict[str, Any] = {}
    for name in form:
        values = form.getlist(name)
        if name == FILE and isinstance(values[0], UploadFile):
            continue
        plain, is_list = name.removesuffix("[]"), name.endswith("[]")
        fields[plain] = values if is_list else _to_value(plain, values)
    return fields


def _to_value(name: str, values: Sequence[Any]) -> Any:
    if len(values) != 1:
        return list(values)
    if name not in _JSON_FIELDS:
        return values[0]
    try:
        return orjson.loads(values[0])
    except ValueError:
        return values[0]
