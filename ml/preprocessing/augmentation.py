"""Pictures slightly turned, scaled and shifted, so that a network learns what does not matter.

B batch, C channels, H height, W width, P = H x W.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

TURN_RADIANS: Final = math.radians(10)
SCALE: Final = 0.1
SHIFT: Final = 0.07
"""Share of the side: two pixels of 28."""
ZOOM: Final = 0.3
"""Pictures whose objects move along are scaled by up to exp(0.3) = 1.35 either way,"""
PAN: Final = 0.15
"""and shifted by up to this share of the side."""
LEAST_LEFT: Final = 0.3
"""Share of its area from which an object that was cut off is still one."""

Mirror = Literal["no", "sides", "both"]
"""Never; left and right; up and down too."""


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


def reframe(
    images_BCHW: np.ndarray, boxes: Sequence[np.ndarray], generator: np.random.Generator, *, mirror: Mirror
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Each picture mirrored, zoomed and shifted in a way of its own, its boxes with it; what is new is its mean colour.

    A box is x1, y1, x2, y2 as shares of the picture, float [m, 4]. Answers pictures, boxes cut off at the edge, and of
    each picture which of its boxes (bool [m]) are still there; the others are left out.
    """
    moved, places, kept = np.empty_like(images_BCHW), [], []
    for index, (image_CHW, old) in enumerate(zip(images_BCHW, boxes, strict=True)):
        zoom = math.exp(generator.uniform(-ZOOM, ZOOM))
        shift = generator.uniform(-PAN, PAN, size=2)
        turned = generator.random(2) < 0.5
        # A place in the new picture, as a share of it, is at `start` + `step` x place in the old one.
        step = np.where(turned & [mirror != "no", mirror == "both"], -1.0, 1.0) / zoom
        start = 0.5 + shift - step / 2
        moved[index] = _moved(image_CHW, start, step)
        corners = (old.reshape(-1, 2, 2) - start) / step
        new = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        cut = new.clip(0, 1)
        left = _areas(cut) >= LEAST_LEFT * _areas(new)
        places.append(cut[left].astype(old.dtype))
        kept.append(left)
    return moved, places, kept


def _moved(image_CHW: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    height, width = image_CHW.shape[1:]
    places = (step[0], 0.0, start[0] * width, 0.0, step[1], start[1] * height)
    channels = []
    for channel in image_CHW:
        image = Image.fromarray(channel)
        transform = Image.Transform.AFFINE
        blank = round(float(channel.mean()))
        channels.append(image.transform((width, height), transform, places, Image.Resampling.BILINEAR, fillcolor=blank))
    return np.stack([np.asarray(each) for each in channels])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _split(place_BP: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    inside = place_BP.clip(0, length - 1)
    whole = inside.astype(np.intp)
    return whole, inside - whole.astype(np.float32)


def _between(pixels: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    one = np.take_along_axis(pixels, first, axis=2).astype(np.float32)
    other = np.take_along_axis(pixels, second, axis=2).astype(np.float32)
    return np.asarray(one + (other - one) * weight)
