"""How a batch whose rows differ in length is cut: together they cost padding, apart they cost calls.

n rows of a call, L the length all of them are padded to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column

CALL_IN_STEPS: Final = 32.0
"""What a call costs beside its rows, in time steps, before anything has been measured."""
QUADRATIC_SHARE: Final = 1e-3
"""Of the cost of a step, what each step of its row adds to it, before anything has been measured."""
FORGETTING: Final = 0.99
"""Of each earlier call, what still counts after the next: the machine may be busier now than it was."""
REFIT_EVERY: Final = 8
MAX_STEPS: Final = 4096
"""Of a call of several rows, padding among them. More at once is no faster, and what a call needs meanwhile grows with
it: of a small BERT 150 MB for 64 rows of 128."""
MAX_BYTES: Final = 2 << 20
"""The same for rows of one shape, as they are encoded: a picture of 224 x 224 takes some 10 MB meanwhile."""


class CallCost:
    """Seconds of a call = a + b n L + c n L^2, by least squares over the calls that were really made."""

    def __init__(self) -> None:
        self._weights = np.array([CALL_IN_STEPS, 1.0, QUADRATIC_SHARE])
        self._products = np.zeros((3, 3))
        self._targets = np.zeros(3)
        self._calls = 0

    def note(self, rows: int, length: int, *, seconds: float) -> None:
        """A call was made. Those of one usual size must not drown the others, so each counts relative to its cost."""
        features = _features(rows, length) / max(seconds, 1e-9)
        self._products = FORGETTING * self._products + np.outer(features, features)
        self._targets = FORGETTING * self._targets + features
        self._calls += 1
        if self._calls % REFIT_EVERY == 0:
            self._refit()

    def seconds(self, rows: int, length: int) -> float:
        """What a call is likely to take; in steps, before anything has been measured."""
        return float(_features(rows, length) @ self._weights)

    def cuts(self, lengths: np.ndarray) -> list[tuple[int, int]]:
        """Where rows of ascending `lengths`, int [n], are best parted: the cheapest sum over all ways to cut.

        No part of several rows has more than `MAX_STEPS`.
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
        found, end = [], count
        while end:
            found.append((int(start_of[end]), end))
            end = int(start_of[end])
        return found[::-1]

    def _refit(self) -> None:
        scale = np.sqrt(self._products.diagonal()) + 1e-30
        # A little of everything, so that calls of one size alone do not make the system singular.
        damped = self._products / np.outer(scale, scale) + 1e-6 * np.eye(3)
        weights = np.linalg.solve(damped, self._targets / scale) / scale
        if weights[1] > 0:
            self._weights = np.maximum(weights, 0)


def lengths_of(columns: Mapping[str, Column]) -> np.ndarray | None:
    """int64 [n]: each row's longest array; None where all rows have one shape."""
    ragged = [
        [len(array) for array in column]
        for column in columns.values()
        if isinstance(column, list) and all(isinstance(array, np.ndarray) for array in column)
    ]
    return np.array(ragged).max(axis=0) if ragged else None


def even_cuts(columns: Mapping[str, Column]) -> list[tuple[int, int]]:
    """Where rows of one shape are parted: each part has at most `MAX_BYTES`, or is one row."""
    count = len(next(iter(columns.values())))
    row_bytes = sum(column[0].nbytes for column in columns.values() if isinstance(column, np.ndarray) and len(column))
    most = max(1, MAX_BYTES // max(1, row_bytes))
    return [(start, min(count, start + most)) for start in range(0, count, most)]


def _features(rows: int, length: int) -> np.ndarray:
    steps = rows * length
    return np.array([1.0, steps, steps * length])
