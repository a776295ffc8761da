"""Boxes around outlines, turned rectangles and masks.

A box is left, top, right, bottom. Lengths are pixels, from the upper left corner, with y downward.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Pixels of a side of a mask; a larger one is no image.
MAX_SIDE: Final = 1 << 24
#: Bits of a run length in one character of a compressed mask, with a bit for "more" above them.
_BITS: Final = 5
_MORE: Final = 1 << _BITS
_FIRST_CHARACTER: Final = 48
#: Characters of one run length: 7 of them hold 35 bits.
_MAX_CHARACTERS: Final = 7


def enclose(points: Iterable[Sequence[Any]]) -> list[float]:
    """Return the box around points x, y.

    Raises `DataRejected` if there are none, or one is no pair of numbers.
    """
    try:
        pairs = [(float(point[0]), float(point[1])) for point in points]
    except (TypeError, ValueError, IndexError, KeyError):
        pairs = []
    if not pairs or not all(math.isfinite(value) for pair in pairs for value in pair):
        raise DataRejected("box_not_numbers", expected="points of two numbers")
    xs, ys = zip(*pairs, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def enclose_flat(values: Iterable[Any]) -> list[float]:
    """Return the box around points in one list: x, y, x, y, ..."""
    numbers = list(values)
    return enclose(list(zip(numbers[::2], numbers[1::2], strict=False)))


def enclose_turned(box: Sequence[float], degrees: float, *, about: tuple[float, float] | None = None) -> list[float]:
    """Return the upright box around a turned one.

    Args:
        box: Box before it was turned.
        degrees: Angle, clockwise as seen on the screen.
        about: Point that does not move; None for the center of the box.
    """
    left, top, right, bottom = box
    x, y = about or ((left + right) / 2, (top + bottom) / 2)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    shifts = [(corner_x - x, corner_y - y) for corner_x, corner_y in corners]
    return enclose((x + dx * cosine - dy * sine, y + dx * sine + dy * cosine) for dx, dy in shifts)


def enclose_turned_ellipse(center: tuple[float, float], radii: tuple[float, float], degrees: float) -> list[float]:
    """Return the upright box around an ellipse that is turned about its center."""
    (x, y), (radius_x, radius_y) = center, radii
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    return [x - half_width, y - half_height, x + half_width, y + half_height]


def enclose_mask(mask: Mapping[str, Any]) -> list[float] | None:
    """Return the box around a mask of run lengths.

    It has `counts`, a list or compressed text, and `size`, height and width. Runs go down the columns and begin with
    the background, as pycocotools writes them. None if the mask is empty; raises `DataRejected` if it is invalid.
    """
    counts, size = mask.get("counts"), mask.get("size")
    is_sized = (
        isinstance(size, list)
        and len(size) == 2
        and all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in size)
    )
    lengths = parse_compressed_runs(counts) if isinstance(counts, str) else counts
    is_valid = isinstance(lengths, list) and all(isinstance(length, int) and length >= 0 for length in lengths)
    if not is_sized or not is_valid or size is None or sum(lengths or ()) > size[0] * size[1]:
        raise DataRejected("box_not_numbers", actual=str(dict(mask)), expected="counts and size of a mask")
    return enclose_runs(lengths or [], height=size[0])


def enclose_runs(lengths: Sequence[int], *, height: int) -> list[float] | None:
    """Return the box around alternating runs of background and object.

    Runs go down columns of `height`. None if there is no object.
    """
    ends = np.cumsum(np.array(lengths, dtype=np.int64))[1::2]
    runs = np.array(lengths[1::2], dtype=np.int64)
    starts, ends = (ends - runs)[runs > 0], ends[runs > 0]
    if not len(starts):
        return None
    (first_column, top), (last_column, bottom) = np.divmod(starts, height), np.divmod(ends - 1, height)
    # A run that continues in the next column covers the end of one and the start of the other.
    is_within = first_column == last_column
    top, bottom = np.where(is_within, top, 0), np.where(is_within, bottom, height - 1)
    return [float(first_column.min()), float(top.min()), float(last_column.max() + 1), float(bottom.max() + 1)]


def parse_compressed_runs(text: str) -> list[int]:
    """Return the run lengths of a compressed mask; raises `DataRejected` if it is invalid.

    Each length is split into groups of 5 bits, least significant first, and from the fourth on stored as the
    difference to the one two before (cocodataset/cocoapi, common/maskApi.c, rleFrString).
    """
    lengths: list[int] = []
    value, count = 0, 0
    for character in text:
        code = ord(character) - _FIRST_CHARACTER
        if not 0 <= code < 2 * _MORE or count == _MAX_CHARACTERS:
            raise DataRejected("box_not_numbers", actual=text, expected="a compressed mask")
        value |= (code & (_MORE - 1)) << (_BITS * count)
        count += 1
        if code & _MORE:
            continue
        if code & (_MORE >> 1):
            value -= 1 << (_BITS * count)
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, count = 0, 0
    if count:
        raise DataRejected("box_not_numbers", actual=text, expected="a compressed mask")
    return lengths
