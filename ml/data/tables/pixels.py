"""Images with one table column per pixel: their shape, and conversion to uint8.

N rows, P pixels of one image.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog
    from ml.data.locations import Locations
    from ml.data.tables.layout import Layout

MIN_PIXELS: Final = 4
#: How a user chooses columns, for error messages.
REQUEST_HELP: Final = 'a column name or a position from 1; pixels as "first:last"; "shape" as "28x28"'
_SHAPE: Final = re.compile(r"(\d+)x(\d+)(?:x([13]))?")


class PixelReader:
    """Converts pixel columns to images.

    The first batch decides whether the values of all batches are 0 to 255 or 0 to 1.
    """

    def __init__(self, issues: IssueLog) -> None:
        self._issues = issues
        self._scale: float | None = None

    def read(
        self, values: np.ndarray, layout: Layout, locations: Locations, names: Sequence[str]
    ) -> tuple[np.ndarray, list[int]]:
        """Convert float32 [N, P] to images, uint8 [n, H, W, C].

        Also returns the indices of the rows of the n images. A row with a value that is no number or out of range
        becomes an issue and is left out.
        """
        if self._scale is None and len(values):
            self._scale = 255.0 if 0 < np.nanmax(values, initial=0) <= 1 else 1.0
        scale = self._scale or 1.0
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            valid = finite & (values >= 0) & (values * scale <= 255)
        for row in np.flatnonzero(~valid.all(axis=1)):
            cell = int(np.argmin(valid[row]))
            code = "pixel_out_of_range" if finite[row, cell] else "pixel_not_a_number"
            at = replace(locations.at(int(row)), column=names[layout.pixels[cell]])
            self._issues.add(code, at=at, actual=values[row, cell], expected=f"0 to {255 / scale:g}", rows=1)
        retained_rows = np.flatnonzero(valid.all(axis=1))
        scaled = values[retained_rows] * np.float32(scale)
        pixels = np.rint(scaled)
        self._report_changes(scaled, pixels, scale, locations)
        return pixels.astype(np.uint8).reshape(-1, *layout.shape), retained_rows.tolist()

    def _report_changes(self, scaled: np.ndarray, pixels: np.ndarray, scale: float, locations: Locations) -> None:
        if not len(pixels):
            return
        file = Location(file=locations.at(0).file)
        if scale != 1:
            self._issues.add("pixels_scaled", at=file, count=len(pixels), rows=len(pixels))
        elif rounded := int((scaled != pixels).any(axis=1).sum()):
            self._issues.add("pixels_rounded", at=file, count=rounded, rows=rounded)


def with_shape(layout: Layout, request: str | int | None) -> Layout:
    """Set the image shape of a pixel layout.

    It is the user's "HxW" or "HxWxC", else a square is inferred. Raises `DataRejected` if the number of pixel columns
    does not fit.
    """
    count = len(layout.pixels)
    if request is None:
        shape = infer_shape(count)
        if shape is None:
            raise DataRejected("pixels_not_square", actual=f"{count} pixel columns")
        return replace(layout, shape=shape, is_shape_assumed=shape[2] == 3)
    match = _SHAPE.fullmatch(str(request).strip().lower())
    if not match or int(match[1]) * int(match[2]) * int(match[3] or 1) != count:
        raise DataRejected("pixels_not_square", actual=f"{count} pixel columns, shape {request}", expected=REQUEST_HELP)
    return replace(layout, shape=(int(match[1]), int(match[2]), int(match[3] or 1)))


def infer_shape(count: int) -> tuple[int, int, int] | None:
    """Return height, width and channels of a square image, or None.

    `count` is the number of its values.
    """
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if count >= MIN_PIXELS and side * side * channels == count:
            return side, side, channels
    return None
