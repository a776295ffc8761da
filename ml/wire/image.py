"""A picture as it crosses the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from ml.data.files import images
from ml.wire.base import Base64, RawInput, decoded


def _pixels(value: Any) -> np.ndarray:
    """uint8 [H, W, C]."""
    grey = _grey_bytes(value)
    if grey is not None:
        return grey
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
    lowest, highest = array.min(), array.max()  # either is NaN where any is
    if not (lowest >= 0 and highest <= 255):
        raise ValueError("must lie between 0 and 255")
    if highest <= 1 and (array % 1).any():
        raise ValueError("must go from 0 to 255; these look scaled to 0..1, so multiply them by 255")
    return np.rint(array).astype(np.uint8)


def _grey_bytes(value: Any) -> np.ndarray | None:
    """Rows of whole numbers from 0 to 255, which need no further look; None for whatever else there may be."""
    # bytes() of a list refuses what is no whole number from 0 to 255; of a number it would be so many zeros.
    if type(value) is not list or set(map(type, value)) != {list}:
        return None
    try:
        rows = list(map(bytes, value))
    except (TypeError, ValueError):
        return None
    joined = b"".join(rows)
    if not joined or len(joined) > images.MAX_PIXELS or len(set(map(len, rows))) > 1:
        return None
    return np.frombuffer(joined, np.uint8).reshape(len(rows), -1, 1)


_ONLY_PIXELS: Final = {"pixels"}
_NUMBER = {"type": "number", "minimum": 0, "maximum": 255}
_COLOUR = {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 3}
_ROW = {"type": "array", "items": {"anyOf": [_NUMBER, _COLOUR]}, "minItems": 1}

Pixels = Annotated[
    Any,  # uint8 [H, W, C]
    BeforeValidator(_pixels),
    PlainSerializer(lambda array: array.tolist(), when_used="json"),
    WithJsonSchema({"type": "array", "items": _ROW, "minItems": 1}),
]


class ImageInput(RawInput):
    """One picture: a file (PNG, JPEG, ...) as base64, or its pixels."""

    body = "image"

    image: Base64 | None = Field(None, description="A picture file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(None, description="[height][width] of 0 to 255, or [height][width][3] for colour")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("give either image or pixels")
        return self

    @classmethod
    def value_of(cls, given: Any, *, parameters: Mapping[str, Any]) -> np.ndarray:
        """The usual forms need no model: a bare file, and rows of whole numbers."""
        if not parameters:
            if isinstance(given, bytes):
                return decoded(images.decode, given, field="image")
            found = _grey_bytes(given["pixels"]) if isinstance(given, dict) and given.keys() == _ONLY_PIXELS else None
            if found is not None:
                return found
        value: np.ndarray = super().value_of(given, parameters=parameters)
        return value

    def raw(self) -> np.ndarray:
        """uint8 [H, W, C], C of 1 or 3; raises `InputError` where the file is no picture."""
        return np.asarray(self.pixels) if self.image is None else decoded(images.decode, self.image, field="image")

    @classmethod
    def drawn(cls) -> Self:
        """A handwritten 7 of 28 x 28 pixels."""
        canvas = Image.new("L", (28, 28))
        ImageDraw.Draw(canvas).line([(6, 7), (21, 7), (12, 23)], fill=255, width=3, joint="curve")
        return cls(image=images.encode_png(np.asarray(canvas)[:, :, None]))
