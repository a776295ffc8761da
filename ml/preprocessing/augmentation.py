"""Data augmentation of images: random rotation, scale, shift, mirroring and light.

B batch, C channels, H height, W width, P = H x W.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

Augmentation = Literal["auto", "off", "shift", "light", "strong"]
Strength = Literal["off", "shift", "light", "strong"]

#: Training rows below which `auto` augments: a network memorizes so few images within the steps that it needs.
FEW_ROWS: Final = 2_000
DESCRIPTION: Final = (
    "`shift`: move training images by a few pixels; `light`: rotate, scale and shift them a little; `strong`: more so, "
    f"and vary brightness and contrast, and add noise; never mirror them. `auto`: `light` below {FEW_ROWS:,} training "
    "rows, else `shift` for classes of images, and `off` for all else."
)
ROTATION_RADIANS: Final = math.radians(10)
SCALE: Final = 0.1
#: Maximum shift as a fraction of the side: two pixels of 28.
SHIFT: Final = 0.07
#: The same where nothing else varies, in whole pixels: one pixel of 28.
WHOLE_SHIFT: Final = 0.04
#: Factor on rotation, scale and shift of a strong augmentation.
STRONG_EXTENT: Final = 1.5
#: Maximum change of the contrast, as the logarithm of a factor, and of the brightness in levels of 255.
CONTRAST: Final = 0.3
BRIGHTNESS: Final = 25
#: Maximum deviation of the noise, in levels of 255.
NOISE: Final = 12
#: Images with boxes are scaled by up to exp(0.3) = 1.35 in either direction.
ZOOM: Final = 0.3
#: Images with boxes are shifted by up to this fraction of the side.
PAN: Final = 0.15
#: A box is dropped when less than this fraction of its area remains inside the image.
MIN_VISIBLE_FRACTION: Final = 0.3

#: Never; left-right; left-right and up-down.
Mirror = Literal["no", "sides", "both"]


def resolve(augmentation: Augmentation, *, rows: int, many: Strength = "off") -> Strength:
    """Return the strength for a number of training rows.

    `many` is that of `auto` from `FEW_ROWS` on.
    """
    if augmentation == "auto":
        return "light" if rows < FEW_ROWS else many
    return augmentation


def augment(images_BCHW: np.ndarray, generator: np.random.Generator, *, strength: Strength) -> np.ndarray:
    """Return varied copies of images, uint8 [B, C, H, W].

    If it is off, these are the images themselves.
    """
    if strength == "off":
        return images_BCHW
    if strength == "shift":
        return random_shift(images_BCHW, generator)
    if strength == "light":
        return random_affine(images_BCHW, generator)
    return vary_light(random_affine(images_BCHW, generator, extent=STRONG_EXTENT), generator)


def vary_light(images_BCHW: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change brightness and contrast of each image, uint8 [B, C, H, W], and add noise."""
    draws = generator.uniform(-1, 1, size=(3, len(images_BCHW), 1, 1, 1)).astype(np.float32)
    mean = images_BCHW.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    varied = (images_BCHW - mean) * np.exp(draws[0] * np.float32(CONTRAST)) + mean + draws[1] * np.float32(BRIGHTNESS)
    varied += np.abs(draws[2]) * NOISE * generator.standard_normal(images_BCHW.shape, dtype=np.float32)
    return np.asarray(np.rint(varied).clip(0, 255), dtype=np.uint8)


def random_shift(images_BCHW: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shift each image by whole pixels, uint8 [B, C, H, W]; edges are repeated.

    It takes a tenth of the time of `random_affine`.
    """
    size = images_BCHW.shape[2:]
    down, across = (round(WHOLE_SHIFT * side) for side in size)
    padded = np.pad(images_BCHW, ((0, 0), (0, 0), (down, down), (across, across)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))
    top_B, left_B = (generator.integers(2 * most + 1, size=len(images_BCHW)) for most in (down, across))
    return np.asarray(windows[np.arange(len(images_BCHW)), :, top_B, left_B])


def random_affine(images_BCHW: np.ndarray, generator: np.random.Generator, *, extent: float = 1.0) -> np.ndarray:
    """Apply a random affine transform to each image, uint8 [B, C, H, W].

    Interpolation is bilinear, edges are repeated. Images are not mirrored: a mirrored character is a different one.
    `extent` is a factor on the largest transform.
    """
    count, channels, height, width = images_BCHW.shape
    draws = generator.uniform(-extent, extent, size=(4, count, 1)).astype(np.float32)
    scale = np.exp(draws[1] * np.float32(SCALE))
    across, along = np.cos(draws[0] * ROTATION_RADIANS) / scale, np.sin(draws[0] * ROTATION_RADIANS) / scale
    y_P, x_P = (axis.reshape(1, -1) for axis in np.indices((height, width), dtype=np.float32))
    x_P, y_P = x_P - (width - 1) / 2, y_P - (height - 1) / 2
    x_BP = across * x_P - along * y_P + (width - 1) / 2 + draws[2] * np.float32(SHIFT * width)
    y_BP = along * x_P + across * y_P + (height - 1) / 2 + draws[3] * np.float32(SHIFT * height)
    left_BP, right_weight_BP = _split(x_BP, width)
    top_BP, bottom_weight_BP = _split(y_BP, height)
    # One more row and column, so that the last ones have neighbors.
    padded = np.pad(images_BCHW, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge").reshape(count, channels, -1)
    index = (top_BP * (width + 1) + left_BP)[:, None, :]
    right, bottom = right_weight_BP[:, None, :], bottom_weight_BP[:, None, :]
    top_edge = _interpolate(padded, index, index + 1, right)
    bottom_edge = _interpolate(padded, index + width + 1, index + width + 2, right)
    moved = np.rint(top_edge + (bottom_edge - top_edge) * bottom)
    return np.asarray(moved, dtype=np.uint8).reshape(images_BCHW.shape)


def random_affine_with_boxes(
    images_BCHW: np.ndarray, boxes: Sequence[np.ndarray], generator: np.random.Generator, *, mirror: Mirror
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Mirror, zoom and shift each image with its boxes, at random.

    New area gets the mean color. A box is x1, y1, x2, y2 as fractions of the image, float [m, 4]. Returns the images,
    the remaining boxes clipped to the image, and for each image a mask of the boxes (bool [m]) that remain.
    """
    moved, new_boxes, masks = np.empty_like(images_BCHW), [], []
    for index, (image_CHW, old) in enumerate(zip(images_BCHW, boxes, strict=True)):
        zoom = math.exp(generator.uniform(-ZOOM, ZOOM))
        shift = generator.uniform(-PAN, PAN, size=2)
        is_mirrored = generator.random(2) < 0.5
        # Position p in the new image, as a fraction of it, is at `start` + `step` * p in the old one.
        step = np.where(is_mirrored & [mirror != "no", mirror == "both"], -1.0, 1.0) / zoom
        start = 0.5 + shift - step / 2
        moved[index] = _transform(image_CHW, start, step)
        corners = (old.reshape(-1, 2, 2) - start) / step
        new = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        clipped = new.clip(0, 1)
        is_visible = _areas(clipped) >= MIN_VISIBLE_FRACTION * _areas(new)
        new_boxes.append(clipped[is_visible].astype(old.dtype))
        masks.append(is_visible)
    return moved, new_boxes, masks


def _transform(image_CHW: np.ndarray, start: np.ndarray, step: np.ndarray) -> np.ndarray:
    height, width = image_CHW.shape[1:]
    coefficients = (step[0], 0.0, start[0] * width, 0.0, step[1], start[1] * height)
    channels = []
    for channel in image_CHW:
        image = Image.fromarray(channel)
        transform = Image.Transform.AFFINE
        blank = round(float(channel.mean()))
        channels.append(
            image.transform((width, height), transform, coefficients, Image.Resampling.BILINEAR, fillcolor=blank)
        )
    return np.stack([np.asarray(channel) for channel in channels])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _split(position_BP: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    inside = position_BP.clip(0, length - 1)
    whole = inside.astype(np.intp)
    return whole, inside - whole.astype(np.float32)


def _interpolate(pixels: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    low = np.take_along_axis(pixels, first, axis=2).astype(np.float32)
    high = np.take_along_axis(pixels, second, axis=2).astype(np.float32)
    return np.asarray(low + (high - low) * weight)
