"""Image as input of `/predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from ml.data.files import images
from ml.wire.base import Base64, RawInput, decode_field


def _pixels(value: Any) -> np.ndarray:
    """Convert nested lists, or an array, to uint8 [H, W, C]; raises `ValueError`."""
    usual = _usual_pixels(value)
    if usual is not None:
        return usual
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("must be rows of numbers, all of the same length") from None
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.size == 0:
        shape = " x ".join(str(length) for length in array.shape) or "one number"
        raise ValueError(f"must be [height][width] or [height][width][1 or 3], not {shape}")
    if array.shape[0] * array.shape[1] > images.MAX_PIXELS:
        count = array.shape[0] * array.shape[1]
        raise ValueError(f"must be at most {images.MAX_PIXELS:,}, not {count:,}; send a smaller image")
    lowest, highest = array.min(), array.max()  # NaN if any element is NaN
    if not (lowest >= 0 and highest <= 255):
        raise ValueError(f"must lie between 0 and 255; they range from {lowest:g} to {highest:g}")
    if highest <= 1 and (array % 1).any():
        raise ValueError("must range from 0 to 255; these look scaled to 0..1, so multiply them by 255")
    return np.rint(array).astype(np.uint8)


def _usual_pixels(value: Any) -> np.ndarray | None:
    """Convert an array of uint8, or rows of whole numbers; None for anything else."""
    if not isinstance(value, np.ndarray):
        return _gray_pixels(value)
    array = value[:, :, None] if value.ndim == 2 else value
    is_usual = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (1, 3)
    return array if is_usual and 0 < array.shape[0] * array.shape[1] <= images.MAX_PIXELS else None


def _gray_pixels(value: Any) -> np.ndarray | None:
    """Convert rows of whole numbers 0..255 to uint8 [H, W, 1]; None for anything else."""
    # bytearray() of a list accepts whole numbers from 0 to 255 only, in half the time of bytes(); of a number it would
    # give that many zeros.
    if type(value) is not list or set(map(type, value)) != {list}:
        return None
    try:
        rows = list(map(bytearray, value))
    except (TypeError, ValueError):
        return None
    joined = b"".join(rows)
    if not joined or len(joined) > images.MAX_PIXELS or len(set(map(len, rows))) > 1:
        return None
    return np.frombuffer(joined, np.uint8).reshape(len(rows), -1, 1)


_ONLY_PIXELS: Final = {"pixels"}
_NUMBER = {"type": "number", "minimum": 0, "maximum": 255}
_COLOR = {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 3}
_ROW = {"type": "array", "items": {"anyOf": [_NUMBER, _COLOR]}, "minItems": 1}

Pixels = Annotated[
    Any,  # uint8 [H, W, C]
    BeforeValidator(_pixels),
    PlainSerializer(lambda array: array.tolist(), when_used="json"),
    WithJsonSchema({"type": "array", "items": _ROW, "minItems": 1}),
]


class ImageInput(RawInput):
    """One image: a file (PNG, JPEG, ...) as base64, or its pixels."""

    body = "image"

    image: Base64 | None = Field(None, description="Image file as base64: PNG, JPEG, GIF, BMP, WebP or TIFF")
    pixels: Pixels | None = Field(None, description="[height][width] of 0 to 255, or [height][width][3] for color")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.pixels is None):
            raise ValueError("give either image or pixels")
        return self

    @classmethod
    def value_of(cls, value: Any, *, parameters: Mapping[str, Any]) -> np.ndarray:
        """Convert an input to pixels.

        An image file and rows of whole numbers skip Pydantic validation, which would take longer than the rest.
        """
        if not parameters:
            if isinstance(value, bytes):
                return decode_field(images.decode, value, field="image")
            has_only_pixels = isinstance(value, dict) and value.keys() == _ONLY_PIXELS
            pixels = _usual_pixels(value["pixels"]) if has_only_pixels else None
            if pixels is not None:
                return pixels
        array: np.ndarray = super().value_of(value, parameters=parameters)
        return array

    def raw(self) -> np.ndarray:
        """Decode to uint8 [H, W, C], C of 1 or 3.

        Raises `InputError` if the file is not an image.
        """
        return np.asarray(self.pixels) if self.image is None else decode_field(images.decode, self.image, field="image")

    @classmethod
    def make_example(cls) -> Self:
        """A drawn 7 of 28 x 28 pixels."""
        canvas = Image.new("L", (28, 28))
        ImageDraw.Draw(canvas).line([(6, 7), (21, 7), (12, 23)], fill=255, width=3, joint="curve")
        return cls(image=images.encode_png(np.asarray(canvas)[:, :, None]))
