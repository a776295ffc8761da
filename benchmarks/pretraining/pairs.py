"""Emoji: small images of nine categories, with their names."""

from __future__ import annotations

import base64
import csv
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from PIL import Image

from benchmarks.pretraining.arms import Arm, Modality, Study

VALIDATION_ROWS: Final = 193
SIDE: Final = 32
#: Five images, none of them in the test split.
LEFT_OUT: Final = {"Component"}


class Pairs(Modality):
    """Arms of the study.

    - scratch: from random weights
    - contrastive views: from a base model that saw 1,500 images without their names
    - names beside: from the image's half of a base model that learned which name belongs to which of the 1,500
      (`image_text_contrast`)
    """

    task = "image_classification"
    answer = "label"
    batch_rows = 25
    usual = Study(labels=(200,), epochs=20, steps=240)
    arms: ClassVar[Mapping[str, Arm]] = {
        "scratch": Arm("cnn"),
        "contrastive views": Arm("cnn", "contrastive_views"),
        "names beside": Arm("cnn", "image_text_contrast", towers={"image": "cnn", "text": "transformer"}),
    }

    def __init__(self, data: Path, folder: Path) -> None:
        if not (data / "captions.tsv").is_file():
            sys.exit(f"skipped: no captions.tsv in {data}; name its folder with --data")
        self.folder = folder
        with (data / "captions.tsv").open(encoding="utf-8", newline="") as file:
            listed = [row for row in csv.DictReader(file, delimiter="\t") if row["category"] not in LEFT_OUT]
        self.images = {row["file"]: _smaller(data / "images" / row["file"]) for row in listed}
        train = [row for row in listed if row["split"] == "train"]
        order = np.random.default_rng(0).permutation(len(train))
        kept_aside, rest = order[:VALIDATION_ROWS], order[VALIDATION_ROWS:]
        self.listed = {
            "train": [train[row] for row in rest],
            "validation": [train[row] for row in kept_aside],
            "test": [row for row in listed if row["split"] == "test"],
        }

    def unlabeled_dataset(self, _: int) -> Path:
        """Return all images of training with their names, for any seed."""
        rows = {split: self.listed[split] for split in ("train", "validation")}
        return self._write("unlabeled", rows, task="image_text_matching", message=("text", "caption"))

    def teacher_dataset(self, _: int) -> Path:
        """The same with their categories."""
        rows = {split: self.listed[split] for split in ("train", "validation")}
        return self._write("answered", rows, task=self.task, message=("label", "category"))

    def labeled_dataset(self, seed: int, count: int) -> Path:
        """Return some of the images of pretraining."""
        order = np.random.default_rng(seed).permutation(len(self.listed["train"]))
        chosen = [self.listed["train"][row] for row in order[:count]]
        rows = {"train": chosen, "validation": self.listed["validation"]}
        return self._write(f"labeled-{count}-{seed}", rows, task=self.task, message=("label", "category"))

    def rows(self, split: str, _: int) -> tuple[list[dict[str, Any]], list[str]]:
        """PNGs, and categories."""
        inputs = [{"image": base64.b64encode(self.images[row["file"]]).decode()} for row in self.listed[split]]
        return inputs, [row["category"] for row in self.listed[split]]

    def _write(
        self, name: str, splits: Mapping[str, Sequence[Mapping[str, str]]], *, task: str, message: tuple[str, str]
    ) -> Path:
        """Import a zip with a table.

        `message` names the text column and the field of a row that fills it.
        """
        column, source = message

        def write(folder: Path) -> list[Path]:
            table = io.StringIO()
            written = csv.writer(table)
            written.writerow(["file_name", "split", column])
            with zipfile.ZipFile(folder / "pictures.zip", "w") as packed:
                for split, rows in splits.items():
                    for row in rows:
                        packed.writestr(f"pictures/{row['file']}", self.images[row["file"]])
                        written.writerow([f"pictures/{row['file']}", split, row[source]])
                packed.writestr("metadata.csv", table.getvalue())
            return [folder / "pictures.zip"]

        return self._import_once(name, write, task=task)


def _smaller(path: Path) -> bytes:
    """Return a PNG of half the size, which suffices for nine categories and trains faster."""
    written = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGBA").resize((SIDE, SIDE)).save(written, "PNG")
    return written.getvalue()
