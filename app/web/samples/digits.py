"""Handwritten digits: the 1,797 images that scikit-learn contains.

Source: UCI, Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.web.samples.base import SampleData, split_of

if TYPE_CHECKING:
    from app.web.samples.base import Files

SIDE: Final = 8
MAX_VALUE: Final = 16


@cache
def _source() -> Path | None:
    """Return the table in the package scikit-learn, without importing it."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None


def _files() -> Files:
    from PIL import Image

    source = _source()
    assert source is not None, "offered only where scikit-learn is installed"
    lines = gzip.decompress(source.read_bytes()).decode("ascii").splitlines()
    for number, line in enumerate(lines):
        *values, label = (int(float(value)) for value in line.split(","))
        image = Image.frombytes("L", (SIDE, SIDE), bytes(min(255, value * 256 // MAX_VALUE) for value in values))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        yield f"{split_of(number)}/{label}/{number:04}.png", buffer.getvalue()


SAMPLE = SampleData(
    title="Digits",
    summary="1,797 handwritten digits, 8 by 8 pixels. Learns to read them, and you can draw one.",
    task="image_classification",
    sketch="M14 10q7-6 12 0t-4 9l-9 11h14M40 10h14l-9 11q9-1 9 6t-14 5",
    place=0,
    files=_files,
    is_available=lambda: _source() is not None,
)
