"""MNIST with some of its training rows, and a training on one thread."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA


def import_mnist(folder: Path, *, rows: int | None = None) -> Path:
    """Import the first `rows` training images, by default all, and all test images."""
    files = []
    for source in sorted((SHARED_DATA / "mnist").glob("*.gz")):
        path = folder / source.name
        if rows is not None and source.name.startswith("train"):
            _truncate(source, path, rows)
        else:
            path.write_bytes(source.read_bytes())
        files.append(path)
    report = import_dataset(files, folder / "dataset", task="image_classification")
    if report.state != "ready":
        raise SystemExit(f"MNIST cannot be imported: {report.errors}")
    return folder / "dataset"


def run_training(fields: dict[str, Any], dataset: Path, folder: Path, **options: Any) -> TrainingResult:
    """Train a fine-tuning on one thread."""
    defaults = {"kind": "finetune", "dataset": "mnist", "model": "mnist", "task": "image_classification"}
    spec = TypeAdapter[Spec](Spec).validate_python({**defaults, **fields})
    folder.mkdir()
    return train(spec, dataset, folder, device="cpu", threads=1, **options)


def _truncate(source: Path, path: Path, rows: int) -> None:
    content = gzip.decompress(source.read_bytes())
    dimensions = content[3]
    _, *sizes = struct.unpack(f">{dimensions + 1}I", content[: 4 * (dimensions + 1)])
    values = np.frombuffer(content, np.uint8, offset=4 * (dimensions + 1)).reshape(sizes)[:rows]
    header = content[:4] + struct.pack(f">{dimensions}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))
