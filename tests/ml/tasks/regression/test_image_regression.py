"""Image regression: a manifest with a number for each image."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS

IMAGES = 24


def write_images(path: Path, header: str, cells: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(IMAGES):
            content = io.BytesIO()
            Image.fromarray(np.full((8, 8), number * 10, dtype=np.uint8)).save(content, "PNG")
            archive.writestr(f"images/{number}.png", content.getvalue())
        archive.writestr("metadata.csv", "\n".join([header, *cells]))
    return path


@pytest.mark.parametrize("name", ["value", "price", "age"])
def test_the_number_beside_an_image_is_the_target(tmp_path: Path, name: str) -> None:
    cells = [f"images/{number}.png,{number / 4}" for number in range(IMAGES)]
    archive = write_images(tmp_path / "images.zip", f"file_name,{name}", cells)
    report = import_dataset([archive], tmp_path / "dataset", task="image_regression", tasks=TASKS)
    assert report.accepted, report.errors
    assert not [entry for entry in report.errors if entry.code == "fields_not_read"]
    assert report.guess is not None
    assert report.guess.columns["value"] == name
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    pairs = zip(rows.columns["image"], rows.columns["value"], strict=True)
    assert all(int(image.flat[0]) == value * 40 for image, value in pairs)


def test_a_number_that_is_missing_is_reported_with_file_and_row(tmp_path: Path) -> None:
    cells = [f"images/{number}.png,{'unknown' if number == 3 else number}" for number in range(IMAGES)]
    archive = write_images(tmp_path / "images.zip", "file_name,value", cells)
    report = import_dataset([archive], tmp_path / "dataset", task="image_regression", tasks=TASKS)
    (entry,) = [entry for entry in report.errors if entry.code == "value_not_a_number"]
    assert (entry.sample[0]["file"], entry.sample[0]["row"]) == ("images.zip/metadata.csv", 4)
