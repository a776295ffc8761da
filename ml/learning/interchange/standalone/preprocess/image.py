"""Images, resized and normalized.

The image is rotated by its EXIF orientation, blended with white where it is transparent, converted to gray (1
channel) or RGB (3), and stretched to `width` x `height` (bilinear with antialiasing, as Pillow resizes); with
`keep_ratio` it is scaled to fit instead, and centered on gray (128). Pixels are divided by 255; then `mean` is
subtracted and the difference divided by `deviation`, by channel, unless they are null.
The array is float32 [batch, channels, height, width].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.files.base64_data import from_text
from ml.data.files.images import decode
from ml.preprocessing.image_resizing import normalize, resize

if TYPE_CHECKING:
    from pathlib import Path

#: Field of an input that a file fills.
FIELD: Final = "image"


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Return `signal`, float32 [batch, channels, height, width]."""
    size = {name: config[name] for name in ("width", "height", "channels", "keep_ratio")}
    pixels = np.stack([resize(decode_pixels(raw_input), **size).transpose(2, 0, 1) for raw_input in inputs])
    return {"signal": normalize(pixels, mean=config["mean"], deviation=config["deviation"])}


def decode_pixels(raw_input: dict[str, Any]) -> np.ndarray:
    """Return the pixels of an input, uint8 [H, W, C].

    They are `pixels` (rows of 0 to 255) or `image` (a file as base64). Raises `InputError` if the file is not an image.
    """
    if raw_input.get("pixels") is not None:
        pixels = np.rint(np.array(raw_input["pixels"], dtype=np.float64)).astype(np.uint8)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels
    return decode(from_text(raw_input["image"]) or b"")
