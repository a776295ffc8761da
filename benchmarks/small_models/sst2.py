"""SST-2 with some of its training sentences.

871 sentences are to validate on, and 1,821 to test on.
"""

from __future__ import annotations

from pathlib import Path

from ml.data.importing.importer import import_dataset
from tests.support.repository import SHARED_DATA

FILES = ("train.tsv", "dev.tsv", "test.tsv")


def import_sst2(folder: Path, *, rows: int | None = None) -> Path:
    """Import the first `rows` training sentences, by default all."""
    files = []
    for name in FILES:
        lines = (SHARED_DATA / "sst2" / name).read_text(encoding="utf-8").splitlines()
        limit = rows if name == "train.tsv" else None
        files.append(folder / name)
        files[-1].write_text("\n".join(lines[:limit]) + "\n", encoding="utf-8")
    report = import_dataset(files, folder / "dataset", task="text_classification")
    if report.state != "ready":
        raise SystemExit(f"SST-2 cannot be imported: {report.errors}")
    return folder / "dataset"
