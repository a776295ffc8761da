"""Conversion of pixels to images of Pillow and back."""

from __future__ import annotations

import numpy as np
from PIL import Image


def to_image(pixels: np.ndarray) -> Image.Image:
    """Convert uint8 [H, W, C], C of 1 or 3."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def from_image(image: Image.Image) -> np.ndarray:
    """Convert an image in the mode L or RGB to uint8 [H, W, C]."""
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def border_color(pixels: np.ndarray) -> tuple[int, ...]:
    """Return the median color of the border, which is usually the background."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return tuple(int(value) for value in np.median(border, axis=0))
