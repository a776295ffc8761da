"""What it means to judge: metrics with their meaning, the answer that does not look, and how sure a share is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

Z_95: Final = 1.959963984540054
"""The normal distribution holds 95 % of its mass this many standard deviations around its mean."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means: on which rows, weighted how; whether more is better."""

    summary: str
    higher_is_better: bool


@dataclass(slots=True)
class Evaluation:
    """How good a network is on one split. `extra` joins the report as it is (confusion matrix, per class, errors)."""

    metrics: dict[str, float]
    baseline: dict[str, float] = field(default_factory=dict)
    """The same metrics for the best answer that does not look at the input."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % confidence intervals."""
    extra: dict[str, Any] = field(default_factory=dict)


def share_interval(share: float, rows: int) -> tuple[float, float]:
    """95 % confidence interval of a share seen in `rows` independent rows (Wilson 1927): sound near 0 and 1, too."""
    spread = Z_95**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
