"""Splitting of batches whose rows differ in length into calls.

One call costs padding, several cost the overhead of calls.

n rows of a call, L the length to which all of them are padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column

#: Overhead of a call in time steps, before anything has been measured.
CALL_STEPS: Final = 32.0
#: What each step of a row adds to the cost of each of its steps, before anything has been measured.
QUADRATIC_FRACTION: Final = 1e-3
#: Weight that a call keeps after each later call: the machine may be busier now than it was.
DECAY: Final = 0.99
REFIT_INTERVAL_CALLS: Final = 8
#: Steps of a call of several rows, padding included. More is no faster, and needs more memory during the call: a small
#: BERT takes 150 MB for 64 rows of 128.
MAX_STEPS: Final = 4096
#: The same limit for rows of one shape, by their encoded size: an image of 224 x 224 takes some 10 MB during the call.
MAX_BYTES: Final = 2 << 20


class CallCost:
    """A cost model of calls, fitted to past calls by least squares.

    A call takes a + b n L + c n L^2 seconds.
    """

    def __init__(self) -> None:
        self._weights = np.array([CALL_STEPS, 1.0, QUADRATIC_FRACTION])
        self._products = np.zeros((3, 3))
        self._targets = np.zeros(3)
        self._calls = 0

    def record(self, rows: int, length: int, *, seconds: float) -> None:
        """Add a call to the fit.

        Each counts relative to its duration, so that the most frequent size does not outweigh the others.
        """
        features = _features(rows, length) / max(seconds, 1e-9)
        self._products = DECAY * self._products + np.outer(features, features)
        self._targets = DECAY * self._targets + features
        self._calls += 1
        if self._calls % REFIT_INTERVAL_CALLS == 0:
            self._refit()

    def seconds(self, rows: int, length: int) -> float:
        """Estimate the duration of a call, in time steps before anything has been measured."""
        return float(_features(rows, length) @ self._weights)

    def cuts(self, lengths: np.ndarray) -> list[tuple[int, int]]:
        """Return the start and end of each call, at the lowest total cost.

        The rows have ascending `lengths`, int [n]. No call of several rows has more than `MAX_STEPS` steps.
        """
        count = len(lengths)
        a, b, c = self._weights
        step = lengths * (b + c * lengths)
        best = np.zeros(count + 1)
        start_of = np.zeros(count + 1, dtype=np.int64)
        starts = np.arange(count)
        for end in range(1, count + 1):
            first = max(0, end - max(1, MAX_STEPS // max(1, int(lengths[end - 1]))))
            costs = best[:end] + a + (end - starts[:end]) * step[end - 1]
            costs[:first] = np.inf
            start_of[end] = int(costs.argmin())
            best[end] = costs[start_of[end]]
        cuts, end = [], count
        while end:
            cuts.append((int(start_of[end]), end))
            end = int(start_of[end])
        return cuts[::-1]

    def _refit(self) -> None:
        scale = np.sqrt(self._products.diagonal()) + 1e-30
        # Regularized, so that calls of a single size do not make the system singular.
        damped = self._products / np.outer(scale, scale) + 1e-6 * np.eye(3)
        weights = np.linalg.solve(damped, self._targets / scale) / scale
        if weights[1] > 0:
            self._weights = np.maximum(weights, 0)


def lengths_of(columns: Mapping[str, Column]) -> np.ndarray | None:
    """Return int64 [n], the length of each row's longest array.

    Return None where all rows have one shape.
    """
    ragged = [
        [len(array) for array in column]
        for column in columns.values()
        if isinstance(column, list) and all(isinstance(array, np.ndarray) for array in column)
    ]
    return np.array(ragged).max(axis=0) if ragged else None


def even_cuts(columns: Mapping[str, Column]) -> list[tuple[int, int]]:
    """Return the start and end of each call for rows of one shape.

    A call has at most `MAX_BYTES`, or a single row.
    """
    count = len(next(iter(columns.values())))
    row_bytes = sum(column[0].nbytes for column in columns.values() if isinstance(column, np.ndarray) and len(column))
    max_rows = max(1, MAX_BYTES // max(1, row_bytes))
    return [(start, min(count, start + max_rows)) for start in range(0, count, max_rows)]


def _features(rows: int, length: int) -> np.ndarray:
    steps = rows * length
    return np.array([1.0, steps, steps * length])
