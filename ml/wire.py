"""What crosses the wire at `/predict`: inputs and outputs as JSON, and the forms that raw values take in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from PIL import Image, ImageDraw
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from ml.data import images
from ml.errors import InputError


class Wire(BaseModel):
    """Base of a task's input and output."""

    model_config = ConfigDict(extra="forbid")

    body: ClassVar[str | None] = None
    """The field that a bare body (a PNG, a text) stands for."""

    @classmethod
    def of(cls, given: Any, *, parameters: Mapping[str, Any]) -> Self:
        """An input in any of its forms: JSON, the thing itself as bytes, or already read. Raises `InputError`.

        `parameters` are fields that a request sets for all of its inputs; what an input says itself goes before.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, bytes):
            if cls.body is None:
                raise InputError("this model reads JSON", hint='Send {"inputs": [{...}]} as application/json.')
            given = {cls.body: given}
        if not isinstance(given, Mapping):
            raise InputError(f"an input is a JSON object; its fields: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate({**parameters, **given})
        except ValidationError as error:
            raise InputError(_told(error, cls)) from None


def _told(error: ValidationError, kind: type[Wire]) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "extra_forbidden"
        message = f"unknown field; known: {', '.join(kind.model_fields)}" if unknown else fault["msg"]
        faults.append(f"{place}: {message}" if place else message)
    return "; ".join(faults).replace("Value error, ", "")


def _from_base64(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a string of base64")  # noqa: TRY004 - Pydantic collects ValueError
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _pixels(value: Any) -> np.ndarray:
    """uint8 [H, W, C]."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("must be rows of numbers, all rows equally long") from None
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.size == 0:
        found = " x ".join(str(length) for length in array.shape) or "one number"
        raise ValueError(f"must be [height][width] or [height][width][1 or 3], not {found}")
    if array.shape[0] * array.shape[1] > images.MAX_PIXELS:
        raise ValueError(f"must be at most {images.MAX_PIXELS:,}")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise ValueError("must lie between 0 and 255")
    if array.max() <= 1 and (array % 1).any():
        raise ValueError("must go from 0 to 255; these look scaled to 0..1, so multiply them by 255")
    return np.rint(array).astype(np.uint8)


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]

_NUMBER = {"type": "number", "minimum": 0, "maximum": 255}
_COLOUR = {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 3}
_ROW = {"type": "array", "items": {"anyOf": [_NUMBER, _COLOUR]}, "minItems": 1}

Pixels = Annotated[
    Any,  # uint8 [H, W, C]
    BeforeValidator(_pixels),
    PlainSerializer(lambda array: array.tolist(), when_used="json"),
    WithJsonSchema({"type": "array", "items": _ROW, "minItems": 1}),
]


class ImageInput(Wire):
    """One picture: a file (PNG, JPEG, ...) as base64, or its pixels."""

    body = "image"

    image: Base64 | None = Field(None, description="A picture file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(None, description="[height][width] of 0 to 255, or [height][width][3] for colour")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("give either image or pixels")
        return self

    def raw(self) -> np.ndarray:
        """uint8 [H, W, C], C of 1 or 3; raises `InputError` where the file is no picture."""
        return images.decode(self.image) if self.image is not None else np.asarray(self.pixels)

    @classmethod
    def drawn(cls) -> Self:
        """A handwritten 7 of 28 x 28 pixels."""
        canvas = Image.new("L", (28, 28))
        ImageDraw.Draw(canvas).line([(6, 7), (21, 7), (12, 23)], fill=255, width=3, joint="curve")
        return cls(image=images.encode_png(np.asarray(canvas)[:, :, None]))
