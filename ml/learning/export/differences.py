"""Difference of the outputs of two engines, in which a NaN is never overlooked."""

from __future__ import annotations

import math

import numpy as np


def largest_difference(values: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays of one shape.

    It is infinite where a value is finite in one of them alone: a NaN would be lost in comparisons and in Python's
    `max`. Values that are finite in neither do not count.
    """
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(values)):
        return math.inf
    return float(np.abs(np.subtract(values[finite], expected[finite], dtype=np.float64)).max(initial=0))


def largest_value(values: np.ndarray) -> float:
    """Return the largest finite absolute value; 0 if there is none."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))
