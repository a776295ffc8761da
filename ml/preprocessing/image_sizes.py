"""Sizes at which images are read, by the number of training rows."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary

#: Shorter side for up to `FEW_ROWS` training rows, in pixels. Few images do not teach finer details.
MIN_SIDE: Final = 64
#: Longer side for any number of rows, in pixels.
MAX_SIDE: Final = 256
#: Training rows from which the area grows in proportion to their number.
FEW_ROWS: Final = 1_000
#: Sides are multiples of this, as networks halve them several times.
MULTIPLE: Final = 8


def image_encoder_options(summary: DatasetSummary) -> Mapping[str, Any]:
    """Return height and width for images that are larger than their number needs.

    The aspect ratio is kept: images of several sizes are centered in a square. Returns nothing for small images.
    """
    facts = summary.facts_of("image")
    if not facts:
        return {}
    height, width = facts["max_height"], facts["max_width"]
    side = MIN_SIDE * max(1.0, sqrt(summary.splits.get("train", 0) / FEW_ROWS))
    if (facts["min_height"], facts["min_width"]) != (height, width):
        longest = max(height, width)
        square = _round_side(min(side, MAX_SIDE, longest))
        return {"height": square, "width": square, "keep_ratio": True} if longest > MIN_SIDE else {}
    scale = min(side / min(height, width), MAX_SIDE / max(height, width))
    if scale >= 1:
        return {}
    return {"height": _round_side(height * scale), "width": _round_side(width * scale)}


def _round_side(side: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(side / MULTIPLE))
