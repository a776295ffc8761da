"""Gradient boosting of scikit-learn, the reference for tables of measurements.

N rows, M numbers, C categorical columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: Limit of rows x columns x classes that are learned from: about a minute on one core.
MAX_CELLS: Final = 20_000_000
#: Limit of classes: each iteration grows a tree for each of them.
MAX_CLASSES: Final = 100
#: HistGradientBoosting reads at most this number of categories of a column; more are read as numbers.
MAX_CATEGORIES: Final = 250
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Features of N rows."""

    #: float [N, M], NaN where missing.
    numbers: np.ndarray
    #: int64 [N, C], codes within each column.
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> Table:
        """Return some rows."""
        return Table(self.numbers[rows], self.codes[rows])

    def to_array(self) -> np.ndarray:
        """Return all features as float64 [N, M + C]."""
        return np.concatenate([self.numbers.astype(np.float64), self.codes], axis=1)


def fit_reference(
    train: Table, target: np.ndarray, test: Table, *, classes: int | None, measure: Callable[[Any, np.ndarray], Any]
) -> dict[str, Any]:
    """Fit HistGradientBoosting at its default options, and return its section of the report.

    It learns from the same rows and columns as the network, of large tables from a random sample.

    Args:
        train: Features to learn from.
        target: int64 [N] codes of classes, or float [N].
        test: Features to predict for.
        classes: Number of classes; None for a regression.
        measure: Called with the fitted model and features, returns the metrics.
    """
    # Imported here: only a worker that trains has it, and it takes a second.
    from sklearn import __version__
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    rows = _sample_rows(len(train), train.numbers.shape[1] + train.codes.shape[1], classes or 1)
    sample, sample_target = train.take(rows), target[rows]
    is_category = [False] * train.numbers.shape[1] + [
        int(column.max(initial=0)) < MAX_CATEGORIES for column in train.codes.T
    ]
    model_type = HistGradientBoostingRegressor if classes is None else HistGradientBoostingClassifier
    section: dict[str, Any] = {"model": f"scikit-learn {__version__} {model_type.__name__}", "rows": len(rows)}
    if classes is not None and classes > MAX_CLASSES:
        return {**section, "metrics": {}, "reason": f"it is fitted to at most {MAX_CLASSES} classes, not {classes:,}"}
    if len(np.unique(sample_target)) < 2:
        return {**section, "metrics": {}, "reason": "the training rows have one class or value only"}
    began = time.monotonic()
    model = model_type(categorical_features=is_category, random_state=SEED).fit(sample.to_array(), sample_target)
    metrics = measure(model, test.to_array())
    return {**section, "metrics": metrics, "seconds": round(time.monotonic() - began, 2)}


def class_log_probabilities(model: Any, features: np.ndarray, classes: int) -> np.ndarray:
    """Return log-probabilities, float64 [N, classes].

    Classes that the model never saw have the least.
    """
    log_probabilities = np.full((len(features), classes), -30.0)
    log_probabilities[:, model.classes_] = np.log(np.maximum(model.predict_proba(features), 1e-12))
    return log_probabilities


def _sample_rows(rows: int, columns: int, classes: int) -> np.ndarray:
    count = max(1000, MAX_CELLS // max(1, columns * classes))
    if rows <= count:
        return np.arange(rows)
    return np.sort(np.random.default_rng(SEED).choice(rows, size=count, replace=False))
