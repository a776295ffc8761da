"""Pictures slightly turned, scaled and shifted, so that a network learns what does not matter.

B batch, C channels, H height, W width, P = H x W.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

TURN_RADIANS: Final = math.radians(10)
SCALE: Final = 0.1
SHIFT: Final = 0.07
"""Share of the side: two pixels of 28."""


def distort(images_BCHW: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """uint8 [B, C, H, W], each picture moved in a way of its own, interpolated linearly, its edges drawn out.

    Never mirrored: a mirrored letter is another one, or none.
    """
    count, channels, height, width = images_BCHW.shape
    chance = generator.uniform(-1, 1, size=(4, count, 1)).astype(np.float32)
    scale = np.exp(chance[1] * np.float32(SCALE))
    across, along = np.cos(chance[0] * TURN_RADIANS) / scale, np.sin(chance[0] * TURN_RADIANS) / scale
    y_P, x_P = (axis.reshape(1, -1) for axis in np.indices((height, width), dtype=np.float32))
    x_P, y_P = x_P - (width - 1) / 2, y_P - (height - 1) / 2
    x_BP = across * x_P - along * y_P + (width - 1) / 2 + chance[2] * np.float32(SHIFT * width)
    y_BP = along * x_P + across * y_P + (height - 1) / 2 + chance[3] * np.float32(SHIFT * height)
    left_BP, right_weight_BP = _split(x_BP, width)
    top_BP, bottom_weight_BP = _split(y_BP, height)
    # One row and one column more, so that the neighbours of the last ones exist.
    padded = np.pad(images_BCHW, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge").reshape(count, channels, -1)
    place = (top_BP * (width + 1) + left_BP)[:, None, :]
    right, bottom = right_weight_BP[:, None, :], bottom_weight_BP[:, None, :]
    top_edge = _between(padded, place, place + 1, right)
    bottom_edge = _between(padded, place + width + 1, place + width + 2, right)
    moved = np.rint(top_edge + (bottom_edge - top_edge) * bottom)
    return np.asarray(moved, dtype=np.uint8).reshape(images_BCHW.shape)


def _split(place_BP: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    inside = place_BP.clip(0, length - 1)
    whole = inside.astype(np.intp)
    return whole, inside - whole.astype(np.float32)


def _between(pixels: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    one = np.take_along_axis(pixels, first, axis=2).astype(np.float32)
    other = np.take_along_axis(pixels, second, axis=2).astype(np.float32)
    return np.asarray(one + (other - one) * weight)
