"""Regression: outputs and metrics of predicted numbers.

N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ml.metrics.base import Evaluation, Metric
from ml.wire import Wire

MAX_ERRORS: Final = 20
#: Resampled sets of rows from which intervals are computed (Efron 1979, the percentile bootstrap).
RESAMPLES: Final = 1000
#: Limit of resampled rows; for more, intervals of this number of rows are scaled.
MAX_RESAMPLED_ROWS: Final = 5000

METRICS: Final[Mapping[str, Metric]] = {
    "rmse": Metric("Root of the mean over rows of the squared error, in the unit of the target", False),
    "mae": Metric("Mean over rows of the absolute error, in the unit of the target", False),
    "r2": Metric(
        "Coefficient of determination: 1 minus the squared error over that of the mean of the evaluated rows; 1 is "
        "perfect, 0 is no better than that mean",
        True,
    ),
}


class RegressionOutput(Wire):
    """The predicted number, in the unit of the target."""

    value: float


def evaluate(predicted: np.ndarray, target: np.ndarray, *, train: np.ndarray | None) -> Evaluation:
    """Evaluate predictions float [N] against targets float [N].

    `train` holds the targets of the training split, for the baseline: it predicts their mean for every row, and their
    median for the absolute error.
    """
    baseline = {}
    if train is not None:
        mean = measure(np.full(len(target), train.mean()), target)
        median = measure(np.full(len(target), np.median(train)), target)
        baseline = {**mean, "mae": median["mae"]}
    return Evaluation(
        metrics=measure(predicted, target),
        baseline=baseline,
        intervals=_bootstrap(predicted, target),
        extra={"errors": _largest_errors(predicted, target)},
    )


def measure(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return the metrics of predictions; `r2` is 0 if all targets are equal."""
    errors = predicted.astype(np.float64) - target
    return {name: float(value[0]) for name, value in _measure_each(errors[None], target[None]).items()}


def _measure_each(errors_RN: np.ndarray, target_RN: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics of R sets of N rows, float64 [R] each."""
    squared_R = np.square(errors_RN).mean(axis=1)
    variance_R = target_RN.astype(np.float64).var(axis=1)
    explained_R = np.divide(squared_R, variance_R, out=np.ones_like(squared_R), where=variance_R > 0)
    return {"rmse": np.sqrt(squared_R), "mae": np.abs(errors_RN).mean(axis=1), "r2": 1 - explained_R}


def _bootstrap(predicted: np.ndarray, target: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of the metrics; none for a single row."""
    rows = len(target)
    if rows < 2:
        return {}
    generator = np.random.default_rng(rows)
    sampled = min(rows, MAX_RESAMPLED_ROWS)
    center = measure(predicted, target)
    values: dict[str, list[float]] = {name: [] for name in center}
    errors = predicted.astype(np.float64) - target
    for _ in range(RESAMPLES):
        sample = generator.integers(0, rows, size=sampled)
        for name, value in _measure_each(errors[None, sample], target[None, sample]).items():
            values[name].append(float(value[0]))
    scale = (sampled / rows) ** 0.5
    bounds = {name: np.quantile(numbers, [0.025, 0.975]) for name, numbers in values.items()}
    return {
        name: (center[name] - (center[name] - float(low)) * scale, center[name] + (float(high) - center[name]) * scale)
        for name, (low, high) in bounds.items()
    }


def _largest_errors(predicted: np.ndarray, target: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows with the largest errors; `index` counts from 0 in the split."""
    errors = np.abs(predicted - target)
    worst = np.argsort(-errors, kind="stable")[:MAX_ERRORS]
    return [
        {"index": int(index), "value": float(target[index]), "predicted": float(predicted[index])} for index in worst
    ]
