"""Uploads of images with objects, read back image by image."""

from pathlib import Path
from typing import Any

import numpy as np

from ml.data.dataset import Dataset
from ml.data.report import ImportReport
from tests.support.ml.dataset_files import encode_image, make_zip, upload

COUNT = 24
WIDTH, HEIGHT = 40, 30


def draw(number: int, *, suffix: str = "PNG") -> bytes:
    """Return an image whose pixels all have the value `number`."""
    return encode_image(np.full((HEIGHT, WIDTH, 1), number, dtype=np.uint8), format=suffix)


def import_objects(
    folder: Path, files: dict[str, bytes], **options: Any
) -> tuple[ImportReport, dict[int, list[list[Any]]]]:
    """Return the report, and what `read_objects` returns."""
    report = upload(folder, {"a.zip": make_zip(files.items())}, **options)
    return report, read_objects(folder, report)


def read_objects(folder: Path, report: ImportReport) -> dict[int, list[list[Any]]]:
    """Return the objects of an imported dataset by the number of their image.

    An object is a list of label, box and, for a crowd, "crowd".
    """
    if report.state != "ready":
        return {}
    dataset = Dataset.open(folder / "dataset")
    rows = [row for split in report.splits for row in dataset.rows(split)]
    return {
        int(row["image"][0, 0, 0]): [
            [item["label"], [round(side, 6) for side in item["box"]], *(["crowd"] if "crowd" in item else [])]
            for item in row["objects"]
        ]
        for row in rows
    }
