"""Shift: an image cut elsewhere, with its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.evaluation.corruptions._pixels import border_color
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    from ml.data.rows import Row

#: Part of an object that must stay in the image; of less, nobody would say that it is there.
MIN_VISIBLE = 0.25


class Shift(Corruption):
    """Movement of the whole image by a random direction; boxes move with it."""

    name = "shift"
    summary = "Shift; fraction of the side"
    column_type = "image"
    amounts = (0.05, 0.1, 0.2)

    def corrupt_row(self, row: Row, column: str, amount: float, rng: np.random.Generator) -> Row:
        """Move the image and its objects."""
        right, down = _offsets(row[column], amount, rng)
        moved = {**row, column: _move(row[column], right, down)}
        if "objects" in row:
            height, width = row[column].shape[:2]
            boxes = (_moved_object(item, right, down, width, height) for item in row["objects"])
            moved["objects"] = [item for item in boxes if item is not None]
        return moved

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Move uint8 [H, W, C]; the free edge gets the color of the border."""
        return _move(value, *_offsets(value, amount, rng))


def _offsets(value: np.ndarray, amount: float, rng: np.random.Generator) -> tuple[int, int]:
    """Return pixels to the right and down."""
    height, width = value.shape[:2]
    signs = rng.choice([-1, 1], size=2)
    return int(signs[0] * max(1, round(amount * width))), int(signs[1] * max(1, round(amount * height)))


def _move(value: np.ndarray, right: int, down: int) -> np.ndarray:
    height, width = value.shape[:2]
    moved = np.empty_like(value)
    moved[:] = border_color(value)
    visible = value[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[max(0, down) : max(0, down) + visible.shape[0], max(0, right) : max(0, right) + visible.shape[1]] = visible
    return moved


def _moved_object(item: Row, right: int, down: int, width: int, height: int) -> Row | None:
    left, top, end, bottom = item["box"]
    box = [
        min(max(left + right, 0), width),
        min(max(top + down, 0), height),
        min(max(end + right, 0), width),
        min(max(bottom + down, 0), height),
    ]
    visible = (box[2] - box[0]) * (box[3] - box[1])
    return {**item, "box": box} if visible >= MIN_VISIBLE * (end - left) * (bottom - top) and visible > 0 else None
