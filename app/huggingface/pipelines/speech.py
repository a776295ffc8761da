"""Speech recognition and synthesis."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from app.huggingface.pipelines.base import Pipeline, PipelineRequest, check_members, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SpeechRecognitionPipeline(Pipeline):
    """The text of an audio clip."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each clip."""
        check_members(request)
        request.take_only("return_timestamps", [False], hint="Leave it out: the text has no times.")
        return [{"audio": value} for value in request.values("an audio file in base64")]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the text, or a list for several clips."""
        answers = [{"text": output["text"]} for output in outputs]
        return answers if request.is_list else answers[0]


class TextToSpeechPipeline(Pipeline):
    """Reads a text aloud."""

    media_type = "audio/wav"

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return the text; `voice` and `speed` are parameters of `/predict`."""
        check_members(request)
        if not isinstance(request.inputs, str):
            raise invalid("must be a text", path="inputs", hint='Send {"inputs": "a text"}.')
        return [{"text": request.inputs}]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a WAV file."""
        return base64.b64decode(outputs[0]["audio"])
