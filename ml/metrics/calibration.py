"""Calibrated probabilities, their reliability, and sets of labels that hold the true one.

Exported ONNX folders run a copy of this file.

N rows, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ml.errors import InputError

#: Key of the state of a task.
CALIBRATION: Final = "calibration"
#: Parameter of a request: the fraction of inputs whose set of labels shall hold the true one.
CONFORMAL: Final = "conformal"
#: Bins of equal width, as in Guo et al. (2017).
BINS: Final = 15
#: Scores that a package stores: a thousandth of coverage needs no more.
MAX_SCORES: Final = 1000
#: Decimals of stored scores, which are rounded up.
DECIMALS: Final = 7


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature of a classifier, and how probable true labels of validation rows are."""

    #: Divides the logits; 1 changes nothing.
    temperature: float
    #: Number of validation rows.
    rows: int
    #: Ascending order statistics, at equal distances, of 1 minus the probability of the true label.
    scores: Sequence[float]
    #: Training rows that the temperature was fitted to, too, by networks that have not seen them.
    fold_rows: int = 0
    #: Thresholds of confidence by `ml.metrics.abstention.MeasuredThreshold`; none in an older package.
    thresholds: Sequence[Sequence[float]] = ()

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Calibration | None:
        """Read the calibration in the state of a task; None for a package without one."""
        content = state.get(CALIBRATION)
        return cls(**content) if content else None

    @classmethod
    def measure(cls, logits: np.ndarray, label: np.ndarray, *, temperature: float, fold_rows: int = 0) -> Calibration:
        """Store the scores of validation rows: logits float [N, K], classes int64 [N]."""
        rows = len(label)
        scores = np.sort(1 - to_probabilities(logits, temperature)[np.arange(rows), label])
        count = min(rows, MAX_SCORES)
        scores = scores[_ranks(rows, count) - 1]
        rounded = np.minimum(1, np.ceil(scores * 10**DECIMALS) / 10**DECIMALS)
        return cls(temperature, rows, rounded.tolist(), fold_rows)

    def to_json(self) -> dict[str, Any]:
        """Return what `of_state` reads."""
        content: dict[str, Any] = {"temperature": self.temperature, "rows": self.rows, "scores": list(self.scores)}
        if self.fold_rows:
            content["fold_rows"] = self.fold_rows
        if self.thresholds:
            content["thresholds"] = [list(row) for row in self.thresholds]
        return content

    @property
    def max_coverage(self) -> float:
        """Largest coverage that the number of validation rows supports."""
        return self.rows / (self.rows + 1)

    def threshold(self, coverage: float) -> float:
        """Return the least probability of a label in the set.

        This is split conformal prediction (Vovk et al. 2005; Angelopoulos & Bates 2023): a row like those of validation
        has its true label in the set with a probability of at least `coverage`. Raises `InputError` for a coverage that
        so few rows do not support.
        """
        # Less a rounding error: 0.9 of 10 rows is the 9th, although 10 * 0.9 may be above 9.
        rank = math.ceil((self.rows + 1) * coverage - 1e-9)
        if rank > self.rows:
            raise InputError(
                f"the model was calibrated on {self.rows:,} validation rows, which support a coverage of at most "
                f"{math.floor(1000 * self.max_coverage) / 1000:g}, not {coverage:g}",
                hint="Request a lower coverage, or train with more validation rows.",
            )
        at = int(np.searchsorted(_ranks(self.rows, len(self.scores)), rank))
        return 1 - self.scores[at]


def check_coverage(value: Any) -> float:
    """Return the coverage of a request.

    Raises `InputError` unless it is a number above 0 and below 1.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < 1:
        raise InputError(
            f"must be a number above 0 and below 1, not {str(value)[:40]!r}",
            hint=f'Send {{"{CONFORMAL}": 0.9}} for sets of labels that hold the true one for 90 of 100 inputs.',
        )
    return float(value)


def add_label_sets(
    outputs: Sequence[Mapping[str, Any]], calibration: Calibration | None, coverage: float
) -> list[dict[str, Any]]:
    """Return classification outputs with `label_set`, the labels by falling probability.

    The set is never empty: it has the most probable label in any case. Raises `InputError` for a model that was not
    calibrated.
    """
    if calibration is None:
        raise InputError(
            "the model has no calibration, so it cannot say which labels hold the true one so often",
            hint="Fine-tune it again: classifiers are calibrated on validation rows when they are trained.",
        )
    least = calibration.threshold(coverage)
    return [{**output, "label_set": _label_set(output, least)} for output in outputs]


def _label_set(output: Mapping[str, Any], least: float) -> list[str]:
    ordered = sorted(output["probabilities"].items(), key=lambda item: -item[1])
    others = [name for name, probability in ordered if probability >= least and name != output["label"]]
    return [output["label"], *others]


def to_probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of logits divided by the temperature, float64 [N, K]."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def measure_reliability(confidence: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
    """Return the expected calibration error and the bins of a reliability diagram.

    As in Guo et al. (2017), the bins have equal width.
    `confidence` float [N] is the probability of the predicted class, `is_right` bool [N]. Bins without rows are left
    out; `confidence` of a bin is the mean of its rows, as `accuracy` is.
    """
    bin_of = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bin_of, minlength=BINS)
    used = np.flatnonzero(counts)
    means = [
        np.bincount(bin_of, weights=values, minlength=BINS)[used] / counts[used] for values in (confidence, is_right)
    ]
    error = float((np.abs(means[0] - means[1]) * counts[used]).sum() / len(confidence))
    rows = zip(*(mean.tolist() for mean in means), counts[used].tolist(), strict=True)
    return {"ece": error, "bins": [{"confidence": low, "accuracy": high, "count": count} for low, high, count in rows]}


def measure_label_sets(
    probabilities: np.ndarray, label: np.ndarray, calibration: Calibration, coverages: Sequence[float]
) -> list[dict[str, float]]:
    """Return how often sets of labels hold the true one, and their mean size.

    Coverages that the number of validation rows does not support are left out.
    """
    is_best = probabilities == probabilities.max(axis=1, keepdims=True)
    sections = []
    for coverage in (value for value in coverages if value <= calibration.max_coverage):
        is_inside = (probabilities >= calibration.threshold(coverage)) | is_best
        held = is_inside[np.arange(len(label)), label]
        sections.append(
            {"coverage": coverage, "measured": float(held.mean()), "labels": float(is_inside.sum(axis=1).mean())}
        )
    return sections


def _ranks(rows: int, count: int) -> np.ndarray:
    """Return the ranks, from 1 to `rows`, of `count` order statistics at equal distances."""
    return np.asarray(-(-np.arange(1, count + 1) * rows // count))
