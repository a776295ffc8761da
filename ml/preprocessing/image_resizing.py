"""Resizing and normalization of decoded images.

Exported ONNX folders run a copy of this file.

C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Gray around an image whose aspect ratio differs: neither white nor black, which mean something in many images.
PADDING = 128


def resize(pixels_HWC: np.ndarray, *, width: int, height: int, channels: int, keep_ratio: bool = False) -> np.ndarray:
    """Resize uint8 [H, W, C], C of 1 or 3, with antialiasing.

    It is converted between gray and RGB. With `keep_ratio` it is scaled to fit, and centered on gray. Returns the same
    array if nothing changes.
    """
    if pixels_HWC.shape == (height, width, channels):
        return pixels_HWC
    image = Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)
    image = image.convert("L" if channels == 1 else "RGB")
    if not keep_ratio:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(height, width, channels)
    scale = min(width / image.width, height / image.height)
    inner_width, inner_height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize((inner_width, inner_height), Image.Resampling.BILINEAR)
    canvas = np.full((height, width, channels), PADDING, dtype=np.uint8)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    pixels = np.asarray(image).reshape(inner_height, inner_width, channels)
    canvas[top : top + inner_height, left : left + inner_width] = pixels
    return canvas


def normalize(
    pixels: np.ndarray, *, mean: Sequence[float] | None = None, deviation: Sequence[float] | None = None
) -> np.ndarray:
    """Scale uint8 [..., C, H, W] to float32 in 0..1, and normalize each channel.

    `mean` is subtracted, and the difference divided by `deviation`.
    """
    signal: np.ndarray = np.divide(pixels, 255, dtype=np.float32)
    if mean is not None:
        signal -= np.array(mean, dtype=np.float32)[:, None, None]
    if deviation is not None:
        signal /= np.array(deviation, dtype=np.float32)[:, None, None]
    return signal
