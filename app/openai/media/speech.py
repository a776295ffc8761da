"""Speech by any model of the task `speech_synthesis`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from anyio import to_thread

from app.openai.fields import names_in_errors
from app.openai.media.audio_formats import convert_wav, media_type_of
from app.openai.required_task import require_task

if TYPE_CHECKING:
    from app.openai.media.schemas import SpeechRequest
    from app.serving.service import PredictService
    from app.serving.types import LoadedModel

TASK: Final = "speech_synthesis"
#: Format of an answer, as that of the protocol, if the request names none.
DEFAULT_FORMAT: Final = "mp3"

_NAMES: Final = {"": "input", "text": "input"}


class AudioFile(NamedTuple):
    """An audio file, and its media type."""

    data: bytes
    media_type: str


async def speak(service: PredictService, request: SpeechRequest) -> AudioFile:
    """Read a text aloud; raises the errors of `PredictService.predict`.

    A client of the protocol must name a voice, so that one is ignored which a model with a single voice cannot have.
    """
    await require_task(service, request.model, TASK, ability="reads texts aloud")
    voice = request.voice if _has_voices(await service.load(request.model)) else None
    fields = {"text": request.input, "speed": request.speed, "voice": voice}
    speech = {name: value for name, value in fields.items() if value is not None}
    with names_in_errors(_NAMES):
        result = await service.predict(request.model, [speech], parameters={})
    wav = base64.b64decode(result.outputs[0]["audio"])
    name = request.response_format or DEFAULT_FORMAT
    return AudioFile(await to_thread.run_sync(convert_wav, wav, name), media_type_of(name))


def _has_voices(model: LoadedModel) -> bool:
    # Imported here, as only requests for speech need it.
    from ml.tasks.speech_synthesis import SpeechSynthesis

    adapter = model.predictor.adapter
    return isinstance(adapter, SpeechSynthesis) and bool(adapter.voices)
