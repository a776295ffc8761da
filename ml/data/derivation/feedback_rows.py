"""Rows of feedback that a derivation adds to a dataset."""

from __future__ import annotations

import base64
import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.dataset import SPLITS
from ml.data.derivation.selection import digest
from ml.data.files import images
from ml.data.formats.base import Batch
from ml.data.importing.staging import LABEL
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.data.derivation.selection import Selection
    from ml.data.limits import Limits

#: Operation of a dataset's origin that adds them.
ADD_FEEDBACK: Final = "add_feedback"
ROWS_PER_BATCH: Final = 256
#: Parts of the rows, by the hash of their input, that are held out to test and to validate; the others are trained on.
_PARTS: Final = 6
_TEST_PARTS: Final = (0, 1)
_VALIDATION_PART: Final = 2


def choose_split(input_sha256: str) -> str:
    """Return the split of a row, the same in every later version of the dataset."""
    part = int(input_sha256[:8], 16) % _PARTS
    if part in _TEST_PARTS:
        return "test"
    return "validation" if part == _VALIDATION_PART else "train"


def read_feedback(path: Path, column: str) -> Iterator[Batch]:
    """Yield the rows of a file of JSON lines, split by split.

    A line has `input` as JSON, `label` and `split`; `column` is the canonical column of the input.
    """
    for split in SPLITS:
        number = 0
        with path.open(encoding="utf-8") as lines:
            rows = (row for line in lines if (row := json.loads(line))["split"] == split)
            while batch := list(islice(rows, ROWS_PER_BATCH)):
                values = [_to_raw(row["input"], column) for row in batch]
                locations = Locations(f"feedback {split}", rows=np.arange(number + 1, number + len(batch) + 1))
                number += len(batch)
                yield Batch({column: values, LABEL: [row["label"] for row in batch]}, locations, split)


def find_corrected(selection: Selection, path: Path, column: str, *, limits: Limits) -> np.ndarray:
    """Return bool [N]: rows to train and validate on whose input has feedback.

    The label of feedback is the later one. Test rows stay as they are: versions are compared on them.
    """
    digests = {
        digest(_to_value(value, limits)) for batch in read_feedback(path, column) for value in batch.columns[column]
    }
    return selection.find_values(column, digests, splits=("train", "validation"))


def _to_value(raw: str | bytes, limits: Limits) -> Any:
    """Return a raw value as rows of a dataset contain it."""
    if isinstance(raw, str):
        return raw
    side, max_pixels = limits.max_kept_side, limits.max_pixels
    reduced = images.reduce(raw, max_side=side, max_pixels=max_pixels) if side else None
    return (reduced[1] if reduced else images.read(raw, max_pixels=max_pixels)).pixels


def _to_raw(model_input: dict[str, Any], column: str) -> Any:
    """Return the raw value of an input, as batches of formats hold it."""
    value = model_input[column]
    return base64.b64decode(value) if column == "image" else value.strip()
