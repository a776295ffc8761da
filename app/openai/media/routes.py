"""Routes for audio and images of the OpenAI protocol."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from app.dependencies import PredictServiceDep
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.openai.media.audio_formats import MEDIA_TYPES
from app.openai.media.images import generate_images
from app.openai.media.schemas import GeneratedImages, ImageRequest, SpeechRequest, Transcription, VerboseTranscription
from app.openai.media.speech import speak
from app.openai.media.transcription import read_transcription_form, to_events, transcribe
from app.predict.event_stream import MEDIA_TYPE, STREAM_HEADERS
from app.predict.handler import PREDICTION_PROBLEMS, RESPONSE_TYPE

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JSONRoute)

TEXT_TYPE: Final = "text/plain"

_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS)
_FORM_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS, "bad_request", "unsupported_media_type")
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_TEXT: Final = {"type": "string"}
_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "WAV, FLAC, OGG, MP3 or AIFF."},
                        "model": {**_TEXT, "examples": ["digits"]},
                        "response_format": {
                            **_TEXT,
                            "description": "`json`, `verbose_json` or `text`.",
                            "default": "json",
                        },
                        "language": {**_TEXT, "description": "Changes nothing."},
                        "stream": {"type": "boolean", "description": "Answer by events.", "default": False},
                    },
                    "required": ["file", "model"],
                },
                "examples": {"speech": {"summary": "One audio file", "value": {"model": "speech_recognition"}}},
            }
        },
    }
}
_SPEECH_EXAMPLES: Any = {
    "sentence": {"summary": "Read a text aloud", "value": {"model": "speech_synthesis", "input": "e", "voice": "a"}}
}
_IMAGE_EXAMPLES: Any = {
    "any": {"summary": "An image of any class", "value": {"model": "image_generation", "prompt": ""}}
}


@router.post(
    "/audio/transcriptions",
    response_model=VerboseTranscription | Transcription,
    openapi_extra=_FORM,
    responses={200: {"content": {TEXT_TYPE: {"schema": _TEXT}, MEDIA_TYPE: {"schema": _TEXT}}}, **_FORM_PROBLEMS},
)
async def create_transcription(request: Request, service: PredictServiceDep) -> Response:
    """Transcribe an audio file with a model of the task `speech_recognition`.

    ```sh
    curl -H "Authorization: Bearer $PLINTH_API_KEY" -F model=digits -F file=@seven.wav \\
      http://127.0.0.1:8000/v1/audio/transcriptions
    ```
    """
    options, data = await read_transcription_form(request)
    transcription = await transcribe(service, options, data)
    if options.stream:
        return Response(to_events(transcription), headers=dict(STREAM_HEADERS), media_type=MEDIA_TYPE)
    if options.response_format == "text":
        return Response(transcription["text"], media_type=TEXT_TYPE)
    return Response(orjson.dumps(transcription), media_type=RESPONSE_TYPE)


@router.post(
    "/audio/speech",
    response_class=Response,
    responses={200: {"content": dict.fromkeys(MEDIA_TYPES, _BINARY)}, **_PROBLEMS},
)
async def create_speech(
    body: Annotated[SpeechRequest, Body(openapi_examples=_SPEECH_EXAMPLES)], service: PredictServiceDep
) -> Response:
    """Read a text aloud with a model of the task `speech_synthesis`."""
    file = await speak(service, body)
    return Response(file.data, media_type=file.media_type)


@router.post("/images/generations", response_model=GeneratedImages, responses=_PROBLEMS)
async def create_images(
    body: Annotated[ImageRequest, Body(openapi_examples=_IMAGE_EXAMPLES)], service: PredictServiceDep
) -> Response:
    """Generate images with a model of the task `image_generation`.

    The prompt is one of its classes, or empty.
    """
    return Response(orjson.dumps(await generate_images(service, body)), media_type=RESPONSE_TYPE)
