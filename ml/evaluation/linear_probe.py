"""Linear probe: how well the features of a model tell classes apart.

Alain & Bengio 2016, arXiv:1610.01644. The features are not trained, so a probe takes seconds where a fine-tuning takes
minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

import numpy as np

from ml.data.rows import Rows
from ml.errors import DataError
from ml.inference.embedding_adapter import EMBEDDING
from ml.inference.predictor import Predictor
from ml.metrics.base import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.package.package import ModelPackage

MAX_ROWS: Final = 1000
#: Rows that every model reads, by which its speed is measured.
MIN_ROWS: Final = 64
#: Seconds for the features of all models together.
BUDGET_SECONDS: Final = 40.0
MAX_FOLDS: Final = 5
SEED: Final = 0


class ProbeEntry(TypedDict):
    """Result of one model."""

    base: str
    #: Fraction of rows whose class a classifier predicts that was trained on the other folds.
    accuracy: float
    interval: tuple[float, float]
    folds: list[float]
    #: Number of features.
    width: int
    #: Time for the features and the classifiers.
    seconds: float


class ProbeReport(TypedDict):
    """Models, the best first, compared on the same rows and folds."""

    rows: int
    folds: int
    #: `accuracy` of the most frequent class.
    baseline: dict[str, float]
    bases: list[ProbeEntry]


@dataclass(slots=True)
class _Features:
    predictor: Predictor
    blocks: list[np.ndarray]
    seconds: float = 0.0


def probe(
    packages: Mapping[str, ModelPackage],
    rows: Rows,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
) -> ProbeReport:
    """Compare models on labeled rows.

    It reads a random sample of more than `MAX_ROWS` rows, and fewer where that would take longer than
    `BUDGET_SECONDS`. Raises `DataError` if no class has two rows.
    """
    order = np.random.default_rng(SEED).permutation(len(rows))
    labels = np.array([str(label) for label in rows.take(order[:MAX_ROWS]).columns["label"]])
    features = {name: _Features(Predictor.load(package), []) for name, package in packages.items()}
    for name, item in features.items():
        on_progress(name)
        _read(item, rows, order[:MIN_ROWS])
    seconds_a_row = sum(item.seconds for item in features.values()) / max(1, min(MIN_ROWS, len(order)))
    count = min(MAX_ROWS, len(order), max(MIN_ROWS, int(BUDGET_SECONDS / max(seconds_a_row, 1e-9))))
    for name, item in features.items():
        on_progress(name)
        _read(item, rows, order[MIN_ROWS:count])
    labels = labels[:count]
    folds = _split_folds(labels)
    entries = [_score(name, item, labels, folds) for name, item in features.items()]
    entries.sort(key=lambda entry: -entry["accuracy"])
    frequencies = np.unique(labels, return_counts=True)[1]
    return {
        "rows": len(labels),
        "folds": len(folds),
        "baseline": {"accuracy": float(frequencies.max() / len(labels))},
        "bases": entries,
    }


def summarize(report: ProbeReport) -> list[str]:
    """Return the ranking as sentences."""
    lines = [
        f"{number}. {entry['base']}: accuracy {entry['accuracy']:.3f} "
        f"({entry['interval'][0]:.3f} to {entry['interval'][1]:.3f}), {entry['seconds']:.1f} s"
        for number, entry in enumerate(report["bases"], start=1)
    ]
    best, baseline = report["bases"][0], report["baseline"]["accuracy"]
    if best["interval"][0] <= baseline:
        lines.append(f"no model is surely better than the most frequent class, {baseline:.3f}")
    elif len(report["bases"]) > 1 and report["bases"][1]["interval"][1] >= best["interval"][0]:
        lines.append("the intervals of the first two overlap: more rows would tell them apart")
    return lines


def _read(item: _Features, rows: Rows, positions: np.ndarray) -> None:
    """Append the features of rows to those of a model."""
    start = time.perf_counter()
    task = item.predictor
    for begin in range(0, len(positions), MIN_ROWS):
        block = rows.take(positions[begin : begin + MIN_ROWS])
        unlabeled = Rows({name: column for name, column in block.columns.items() if name != "label"})
        answers = task.answer(unlabeled, output=EMBEDDING)
        item.blocks.append(np.array([answer[EMBEDDING] for answer in answers], np.float64))
    item.seconds += time.perf_counter() - start


def _split_folds(labels: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each fold, with each class spread evenly over them."""
    counts = np.unique(labels, return_counts=True)[1]
    folds = int(min(MAX_FOLDS, counts.max()))
    if folds < 2 or len(counts) < 2:
        raise DataError("the sample has no two classes with two rows", hint="Add labeled rows.")
    order = np.argsort(labels, kind="stable")
    return [order[fold::folds] for fold in range(folds)]


def _score(name: str, item: _Features, labels: np.ndarray, folds: Sequence[np.ndarray]) -> ProbeEntry:
    # Imported here: they take half a second, and only this job needs them.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    values = np.concatenate(item.blocks)
    right = np.zeros(len(labels), bool)
    accuracies = []
    for fold in folds:
        others = np.setdiff1d(np.arange(len(labels)), fold)
        classifier: Any = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
        predicted = (
            classifier.fit(values[others], labels[others]).predict(values[fold])
            if len(np.unique(labels[others])) > 1
            else np.full(len(fold), labels[others][0])
        )
        right[fold] = predicted == labels[fold]
        accuracies.append(float(right[fold].mean()))
    accuracy = float(right.mean())
    return {
        "base": name,
        "accuracy": accuracy,
        "interval": wilson_interval(accuracy, len(labels)),
        "folds": accuracies,
        "width": values.shape[1],
        "seconds": round(item.seconds + time.perf_counter() - start, 3),
    }
