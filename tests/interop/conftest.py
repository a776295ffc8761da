"""Runs the writers with the Python of the tools, which `PLINTH_INTEROP_PYTHON` names."""

import os
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.report import ImportReport
from tests.interop.writers.scene import STEP
from tests.support.ml.dataset_files import upload

WRITERS = Path(__file__).parent / "writers"
PYTHON = "PLINTH_INTEROP_PYTHON"


@pytest.fixture
def import_written(tmp_path: Path) -> Callable[..., ImportReport]:
    """Return a function that runs a writer and imports what it has written."""
    python = os.environ.get(PYTHON)
    if python is None:
        pytest.skip(f"{PYTHON} is not set; run `make interop`")

    def run(writer: str, form: str, *, is_zipped: bool = True, **options: Any) -> ImportReport:
        written = tmp_path / "written"
        command = [python, str(WRITERS / f"{writer}.py"), form, str(written)]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert finished.returncode == 0, finished.stderr[-2000:]
        files = {
            str(path.relative_to(written)): path.read_bytes() for path in sorted(written.rglob("*")) if path.is_file()
        }
        return upload(tmp_path, {"written.zip": _zip(tmp_path / "z.zip", files)} if is_zipped else files, **options)

    return run


def _zip(path: Path, files: Mapping[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path.read_bytes()


def read_scene(folder: Path, report: ImportReport) -> dict[int, tuple[str, list[tuple[str, list[float]]]]]:
    """Return split, and label and box of every object, by the number of the image."""
    dataset = Dataset.open(folder / "dataset")
    return {
        int(row["image"].mean()) // STEP: (split, [(item["label"], item["box"]) for item in row.get("objects", [])])
        for split in report.splits
        for row in dataset.rows(split)
    }
