"""Sizes at which images are read, by the number of training rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ml.data.dataset import DatasetSummary

#: Shorter side for up to `FEW_ROWS` training rows, in pixels. Few images do not teach finer details.
MIN_SIDE: Final = 64
#: Longer side for any number of rows, in pixels.
MAX_SIDE: Final = 256
#: Training rows from which the area grows in proportion to their number.
FEW_ROWS: Final = 1_000
#: Images of several sizes become squares of this side, or of the longest side if that is smaller.
MIXED_SIDE: Final = 64
#: Shorter side at which half of the objects are seen at least, in pixels, where `MAX_SIDE` allows it.
MIN_OBJECT_SIDE: Final = 8
#: Images of one size keep it up to this side; more costs memory and time for detail that few networks use.
MAX_KEPT_SIDE: Final = 256
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
    side = MIN_SIDE * max(1.0, math.sqrt(summary.splits.get("train", 0) / FEW_ROWS))
    if (facts["min_height"], facts["min_width"]) != (height, width):
        longest = max(height, width)
        square = _round_side(min(side, MAX_SIDE, longest))
        return {"height": square, "width": square, "keep_ratio": True} if longest > MIN_SIDE else {}
    scale = min(side / min(height, width), MAX_SIDE / max(height, width))
    if scale >= 1:
        return {}
    return {"height": _round_side(height * scale), "width": _round_side(width * scale)}


def detection_encoder_options(summary: DatasetSummary) -> Mapping[str, Any]:
    """Return the size of images for detection, by the size of their objects.

    Images of several sizes are centered in a square. Returns nothing for small images, and for images of one size,
    which keep it up to `MAX_KEPT_SIDE`.
    """
    facts = summary.facts_of("image")
    if not facts or (facts["min_height"], facts["min_width"]) == (facts["max_height"], facts["max_width"]):
        return {}
    longest = max(facts["max_height"], facts["max_width"])
    median_side = summary.facts_of("objects").get("median_side")
    side = max(MIXED_SIDE, MIN_OBJECT_SIDE / median_side) if median_side else MIXED_SIDE
    square = _round_side(min(side, MAX_SIDE, longest))
    return {"height": square, "width": square, "keep_ratio": True} if longest > MIXED_SIDE else {}


def choose_size(sizes: Collection[tuple[int, int]]) -> tuple[int, int]:
    """Return height and width for images of these sizes: a common size or a square."""
    longest = max(max(size) for size in sizes)
    if len(sizes) > 1:
        side = min(MIXED_SIDE, longest)
        return side, side
    ((height, width),) = sizes
    scale = min(1.0, MAX_KEPT_SIDE / longest)
    return max(1, round(height * scale)), max(1, round(width * scale))


def expect_size(summary: DatasetSummary, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return height and width at which a training will read the images of a dataset.

    None without images. `options` are those of the encoder.
    """
    facts = summary.facts_of("image")
    if not facts:
        return None
    height, width = choose_size({(facts[f"{end}_height"], facts[f"{end}_width"]) for end in ("min", "max")})
    return int(options.get("height") or height), int(options.get("width") or width)


def describe_reduction(summary: DatasetSummary, *, height: int, width: int) -> str | None:
    """Return the sizes of larger images and of those that are read.

    Says how to change it. None for images that are read as they are.
    """
    facts = summary.facts_of("image")
    full_height, full_width = facts.get("max_height", 0), facts.get("max_width", 0)
    if full_height <= height and full_width <= width:
        return None
    setting = "--image-size (encoders.image.width and .height)"
    sizes = f"images of up to {full_width} x {full_height} pixels are read at {width} x {height}"
    half = min(height, width) // 2
    if half >= MIN_SIDE:
        advice = f"{setting} of {half} takes about a quarter of the time and sees less detail, a larger one sees more"
    else:
        advice = f"more detail needs more rows and more time; {setting} sets another size"
    return f"{sizes}{_describe_objects(summary, max(height, width))}: {advice}"


def _describe_objects(summary: DatasetSummary, longest: int) -> str:
    """Return how small half of the objects become; empty where they stay large enough.

    `longest` is the longer side of the images that are read, in pixels.
    """
    pixels = summary.facts_of("objects").get("median_side", math.inf) * longest
    return f", where half of the objects are less than {pixels:.1f} pixels across" if pixels < MIN_OBJECT_SIDE else ""


def _round_side(side: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(side / MULTIPLE))
