"""Small dataset on which a recipe is judged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

#: Label or text, split and content of a file of the dataset.
LabeledFile = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """Small dataset; its files are written as a user would send them.

    `write` is called with an empty folder and the folder of the shared datasets, and returns the files to import. The
    same case always has the same rows.
    """

    modality: str
    task: str
    #: Metric of the report, of which an error is made.
    metric: str
    write: Callable[[Path, Path], list[Path]]
    #: Further arguments of the import: columns and splits.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the report has the metrics of the simple model.
    reports_simple_model: bool = False

    def error(self, metrics: Mapping[str, float]) -> float:
        """Return the fraction of errors: of rows, of words, of variance or of histories."""
        value = metrics[self.metric]
        return value if self.metric == "word_error_rate" else 1 - value


def write_class_folders(archive: Path, files: Iterable[LabeledFile], suffix: str) -> list[Path]:
    """Write a zip of the folders `split/label`."""
    with zipfile.ZipFile(archive, "w") as packed:
        for number, (label, split, content) in enumerate(files):
            # Without the time of writing, so that the same rows make the same file.
            packed.writestr(zipfile.ZipInfo(f"{split}/{label.replace('/', ' ')}/{number:05}.{suffix}"), content)
    return [archive]


def to_png(pixels: np.ndarray) -> bytes:
    """Encode an image, [H, W] or [H, W, 3] of 0 to 255."""
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def split_names(train: int, test: int) -> list[str]:
    """Return the split of each row: first those of train."""
    return ["train"] * train + ["test"] * test
