"""Answers: probabilities, confidence and the expected level.

n options. The formulas are those of System One's documentation, by which thresholds carry over between servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml.metrics.abstention import choose_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where probabilities come from: the classes of the model; some of them, which then sum to 1; the similarity of texts;
#: a predicted number; or a detection.
Source = Literal["classes", "some_classes", "similarity", "regression", "detection"]


@dataclass(frozen=True, slots=True)
class Box:
    """Edges as fractions of height and width, from 0 at the top left."""

    top: float
    bottom: float
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Probabilities in the order of the options, [n]; they sum to 1."""

    probabilities: tuple[float, ...]
    source: Source
    box: Box | None = None
    #: Confidence of a detection; None without one.
    box_confidence: float | None = None
    #: Thresholds for the confidence of such answers, by `MeasuredThreshold`; none where none were measured.
    thresholds: Sequence[Sequence[float]] = ()

    @property
    def best(self) -> int:
        """Position of the most probable option."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def score(self) -> float:
        """Expected position of the option, from 0."""
        return sum(index * value for index, value in enumerate(self.probabilities))

    @property
    def choice_confidence(self) -> float:
        """`(p - 1/n) / (1 - 1/n)` of the largest probability p: 1 is certainty."""
        equal = 1 / len(self.probabilities)
        return max(0.0, (max(self.probabilities) - equal) / (1 - equal)) if equal < 1 else 1.0

    @property
    def score_confidence(self) -> float:
        """1 less the mean distance from the best level, over that of equal probabilities."""
        count = len(self.probabilities)
        uniform = sum(abs(index - (count - 1) / 2) for index in range(count)) / count
        spread = sum(value * abs(index - self.best) for index, value in enumerate(self.probabilities))
        return max(0.0, 1 - spread / uniform) if uniform else 1.0

    def is_unsure(self, precision: float | None) -> bool:
        """Return whether the largest probability is below the threshold for a wanted precision."""
        if precision is None or not self.probabilities:
            return False
        threshold = self.threshold(precision)
        return threshold is None or max(self.probabilities) < threshold

    def threshold(self, precision: float) -> float | None:
        """Return the lowest probability of answers that are right so often.

        It is None where no rows promise that. It was chosen on validation rows. Without measured thresholds it is the
        precision itself: the probability of an answer should be how often it is right.
        """
        return choose_threshold(self.thresholds, precision) if self.thresholds else precision


def normalize(values: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities that sum to 1; equal ones if all are 0."""
    total = sum(values)
    # From a list: a generator takes twice the time.
    return tuple([value / total for value in values]) if total > 0 else (1 / len(values),) * len(values)
