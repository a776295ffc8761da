"""Thresholds of confidence above which a classifier is right as often as wanted.

N rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Probability that any of the stored lower bounds is above the true precision.
MAX_ERROR_PROBABILITY: Final = 0.1
#: Fractions of the rows, the most confident ones, at which precision is measured.
COVERAGES: Final = tuple(step / 10 for step in range(1, 11))
#: Decimals of stored thresholds, which are rounded down.
DECIMALS: Final = 7


class MeasuredThreshold(NamedTuple):
    """A threshold, and how often answers of at least that confidence are right."""

    threshold: float
    #: Fraction of the rows whose confidence reaches the threshold.
    coverage: float
    #: Fraction of these that are right, and its lower bound.
    precision: float
    lower_bound: float


def measure_thresholds(confidence: np.ndarray, is_right: np.ndarray) -> list[MeasuredThreshold]:
    """Measure the precision above thresholds, the lowest threshold first.

    The lower bounds are those of Clopper & Pearson (1934) with Bonferroni's correction for their number: with a
    probability of 1 - `MAX_ERROR_PROBABILITY`, none is above the true precision for rows like these. So a threshold may
    be chosen by them (as Geifman & El-Yaniv 2017, arXiv:1705.08500, do by another correction). `confidence` float [N]
    is the probability of the predicted class, `is_right` bool [N].
    """
    # Imported here: only a worker that trains has it, and it takes a third of a second.
    from scipy.special import betaincinv

    if not len(confidence):
        return []
    rounded = np.floor(confidence * 10**DECIMALS) / 10**DECIMALS
    ordered = np.sort(rounded)[::-1]
    ranks = [max(1, round(coverage * len(ordered))) for coverage in COVERAGES]
    thresholds = np.unique(ordered[np.array(ranks) - 1])
    level = MAX_ERROR_PROBABILITY / len(thresholds)
    measured = []
    for threshold in thresholds.tolist():
        is_answered = rounded >= threshold
        rows, right = int(is_answered.sum()), int((is_answered & is_right).sum())
        bound = float(betaincinv(right, rows - right + 1, level)) if right else 0.0
        measured.append(MeasuredThreshold(threshold, rows / len(rounded), right / rows, round(bound, 6)))
    return measured


def choose_threshold(rows: Sequence[Sequence[float]], precision: float) -> float | None:
    """Return the lowest threshold whose lower bound reaches a precision; None if none does.

    `rows` have the values of `MeasuredThreshold`.
    """
    reaching = [row.threshold for row in map(MeasuredThreshold._make, rows) if row.lower_bound >= precision]
    return min(reaching, default=None)
