"""Handwritten digits of scikit-learn, imported like an upload, and short runs on them."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import TrainingResult, train
from ml.learning.training.progress import Progress
from ml.spec.schema import Spec
from ml.tasks import TASKS

#: A schedule of two steps.
SHORT = {"epochs": 1, "batch_size": 512, "precision": "float32"}


def import_digits(folder: Path, *, flipped_labels: int = 0) -> Path:
    """Import 1,797 images of 8 x 8 pixels from IDX files.

    A fifth of them is the test split, a tenth of the others the validation split. The first `flipped_labels` of the
    other rows have the label of the next digit.
    """
    # The import takes 1.5 s, which processes that only train need not spend.
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * 255 / 16).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(pixels))
    labels = digits.target.astype(np.uint8)
    flipped = order[360 : 360 + flipped_labels]
    labels[flipped] = (labels[flipped] + 1) % 10
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for name, rows in (("t10k", order[:360]), ("train", order[360:])):
        sources += [
            _idx(folder / f"{name}-images-idx3-ubyte.gz", pixels[rows]),
            _idx(folder / f"{name}-labels-idx1-ubyte.gz", labels[rows]),
        ]
    report = import_dataset(sources, folder / "dataset", task="image_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    return folder / "dataset"


def _idx(path: Path, values: np.ndarray) -> Path:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))
    return path


def spec(kind: str, **fields: Any) -> Any:
    defaults = {"kind": kind, "dataset": "digits", "model": "digits", "schedule": SHORT, "seed": 0}
    return TypeAdapter(Spec).validate_python({**defaults, **fields})


def run(
    dataset: Path, workdir: Path, spec: Any, *, reports: list[Progress] | None = None, **options: Any
) -> TrainingResult:
    workdir.mkdir(parents=True, exist_ok=True)
    defaults: dict[str, Any] = {
        "on_progress": (reports if reports is not None else []).append,
        "should_stop": lambda: None,
    }
    return train(spec, dataset, workdir, **{"device": "cpu", **defaults, **options})
