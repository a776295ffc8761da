"""Requests and responses about audio and images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.openai.fields import ProtocolRequest, only
from app.openai.media.audio_formats import SpeechFormat
from app.openai.schemas import ModelId

TranscriptionFormat = TypeAliasType("TranscriptionFormat", Literal["json", "text", "verbose_json"])

ModerationLevel = TypeAliasType("ModerationLevel", Literal["low", "auto"])

#: Images of one request, as the protocol limits them.
MAX_IMAGES = 10
#: Seeds of images; the last of a request must be one, too.
MAX_SEED = 2**32 - MAX_IMAGES

_NO_TIMES = "A model knows the text, but no times and no speakers: use json, verbose_json or text."


def _refuse(*names: str, hint: str) -> BeforeValidator:
    """Return a validator that refuses values of the protocol by their names."""

    def check(sent: Any) -> Any:
        if sent in names:
            raise PydanticCustomError(
                "unsupported_value", "{value} is not supported. {hint}", {"value": sent, "hint": hint}
            )
        return sent

    return BeforeValidator(check)


def _to_voice(value: Any) -> Any:
    """Return the name of a voice, which may be the `id` of an object."""
    return value["id"] if isinstance(value, dict) and value.keys() == {"id"} else value


class TranscriptionRequest(ProtocolRequest):
    """Fields beside the audio file."""

    model: ModelId
    response_format: Annotated[TranscriptionFormat | None, _refuse("srt", "vtt", "diarized_json", hint=_NO_TIMES)] = (
        Field(
            None,
            description="`json` or null; `verbose_json`: with duration and language; `text`: the text alone.",
        )
    )
    language: str | None = Field(None, description="Changes nothing: a model knows the languages of its data.")
    languages: list[str] | None = Field(None, description="Changes nothing, as `language`.")
    prompt: Annotated[Literal[""] | None, only("", hint="Leave it out: a model reads the audio alone.")] = None
    temperature: Annotated[Literal[0] | None, only(0, hint="Leave it out: the most probable text is returned.")] = None
    keywords: Annotated[None, only(None, hint="Leave it out: a model reads the audio alone.")] = None
    stream: bool | None = Field(None, description="Answer by events: the whole text as one piece, and its end.")
    chunking_strategy: Annotated[Literal["auto"] | None, only("auto", hint="Leave it out.")] = None
    timestamp_granularities: Annotated[None, only(None, hint="Leave it out: a text has no times.")] = None
    include: Annotated[None, only(None, hint="Leave it out.")] = None
    known_speaker_names: Annotated[None, only(None, hint="Leave it out.")] = None
    known_speaker_references: Annotated[None, only(None, hint="Leave it out.")] = None


class AudioUsage(BaseModel):
    """Duration of the audio file."""

    type: Literal["duration"] = "duration"
    seconds: float


class Transcription(BaseModel):
    """The text of an audio file."""

    text: str
    usage: AudioUsage | None = Field(None, description="Absent for a stream of unknown duration.")


class VerboseTranscription(Transcription):
    """The text of an audio file without segments, as a model knows no times."""

    task: Literal["transcribe"] = "transcribe"
    language: str = Field(description="That of the request; else `und`, undetermined.")
    duration: float | None = Field(description="Seconds; null for a stream of unknown duration.")


class SpeechRequest(ProtocolRequest):
    """A text to read aloud."""

    model: ModelId
    input: str = Field(description="The text, in characters that the model has learned.")
    voice: Annotated[str | None, BeforeValidator(_to_voice)] = Field(
        None, description="One of the model's voices; changes nothing for a model with one voice."
    )
    response_format: Annotated[SpeechFormat | None, _refuse("aac", hint="Use mp3, opus, flac, wav or pcm.")] = Field(
        None, description="Null: mp3. `pcm`: 16 bits, little-endian, 24,000 Hz, one channel, no header."
    )
    speed: float | None = Field(None, description="Factor of the speed, 0.5 to 2.")
    instructions: Annotated[Literal[""] | None, only("", hint="Leave it out: a model reads the text alone.")] = None
    stream_format: Annotated[Literal["audio"] | None, only("audio", hint="Leave it out.")] = None


class ImageRequest(ProtocolRequest):
    """Images to generate."""

    model: ModelId
    prompt: str = Field("", description="A class of the model; empty: each image is of some class.")
    n: int | None = Field(None, ge=1, le=MAX_IMAGES, description="Number of images; null: 1.")
    size: str | None = Field(
        None, pattern=r"^(auto|\d{1,5}x\d{1,5})$", description="Width x height of the model's images, or `auto`."
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Seed of the first image, an addition to the protocol; further ones have the next seeds.",
    )
    response_format: Annotated[
        Literal["b64_json"] | None, only("b64_json", hint="Images are in the answer: leave it out.")
    ] = None
    output_format: Annotated[Literal["png"] | None, only("png", hint="Leave it out.")] = None
    quality: Annotated[Literal["auto"] | None, only("auto", hint="Leave it out: a model has one quality.")] = None
    style: Annotated[None, only(None, hint="Leave it out: a model has the style of its data.")] = None
    background: Annotated[Literal["auto"] | None, only("auto", hint="Leave it out.")] = None
    moderation: ModerationLevel | None = Field(None, description="Changes nothing.")
    stream: Annotated[Literal[False] | None, only(False, hint="Leave it out: images are generated at once.")] = None
    complexity: Annotated[None, only(None, hint="Leave it out: an image is PNG.")] = None
    frame_count: Annotated[None, only(None, hint="Leave it out: images do not move.")] = None
    frame_duration_ms: Annotated[None, only(None, hint="Leave it out: images do not move.")] = None
    svg: Annotated[None, only(None, hint="Leave it out: an image is PNG.")] = None
    partial_images: Annotated[Literal[0] | None, only(0, hint="Leave it out.")] = None
    output_compression: Annotated[Literal[100] | None, only(100, hint="Leave it out: PNG loses nothing.")] = None


class GeneratedImage(BaseModel):
    """One image."""

    b64_json: str = Field(description="PNG file as base64.")
    revised_prompt: str | None = Field(None, description="Class of the image; null if the model has none.")
    seed: int = Field(description="The same seed and class give the same image.")


class GeneratedImages(BaseModel):
    """Images in the order of their seeds."""

    created: int
    model: str = Field(description="`name@version` of the model that answered.")
    size: str = Field(examples=["28x28"])
    output_format: Literal["png"] = "png"
    data: list[GeneratedImage]
