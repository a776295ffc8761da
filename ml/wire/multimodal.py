"""Image, text, audio clip and measurements, or some of them, as one input of `/predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, WithJsonSchema, model_validator

from ml.data.files import audio, images
from ml.wire.base import Base64, Wire
from ml.wire.image import Pixels
from ml.wire.text import NonBlankText

#: Values by column of the training data; a model checks them by the kinds of its columns.
Record = Annotated[
    dict[str, Any],
    Field(min_length=1),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            "minProperties": 1,
        }
    ),
]


class MultimodalInput(Wire):
    """The parts of one row: at least one of those that the model reads.

    A raw body is an image, an audio clip, or else a text.
    """

    body = "image"

    image: Base64 | None = Field(None, description="Image file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(
        None, description="In place of image: [height][width] of 0 to 255, or [height][width][3] for color"
    )
    text: NonBlankText | None = Field(None, description="Text")
    audio: Base64 | None = Field(None, description="Audio file as base64: WAV, FLAC, OGG, MP3 or AIFF")
    record: Record | None = Field(None, description="Measurements: values by column of the training data")

    @classmethod
    def of(cls, value: Any, *, parameters: Mapping[str, Any]) -> Self:
        """Parse an input; raises `InputError`."""
        if isinstance(value, bytes) and not images.looks_like_image(value):
            value = {"audio" if audio.looks_like_audio(value[:12]) else "text": value}
        return super().of(value, parameters=parameters)

    @model_validator(mode="after")
    def _has_a_part(self) -> Self:
        if self.image is not None and self.pixels is not None:
            raise ValueError("give either image or pixels")
        if not self.parts:
            raise ValueError("give at least one part: image, text, audio or record")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that are given, of image, text, audio and record."""
        parts = {
            "image": self.image if self.image is not None else self.pixels,
            "text": self.text,
            "audio": self.audio,
            "record": self.record,
        }
        return tuple(name for name, value in parts.items() if value is not None)
