"""What it means to judge: metrics with their meaning, the answer that does not look, and how sure a share is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def weaknesses(found: Evaluation, known: Mapping[str, Metric], *, judged: str) -> list[str]:
    """Why not to trust a model: nothing shows that it beats the answer that does not look. `judged` says on which rows.

    A metric with an interval must leave the baseline outside of it; where none has one, any that is better will do.
    """
    compared = [name for name in found.metrics if name in found.baseline and name in known]
    compared = [name for name in compared if name in found.intervals] or compared
    if not compared or any(_beats(found, name, upward=known[name].higher_is_better) for name in compared):
        return []
    name = compared[0]
    value, trivial = f"{found.metrics[name]:.4g}", f"{found.baseline[name]:.4g}"
    message = f"nothing shows that the model has learned: {name} is {value} on {judged}, that of the trivial baseline"
    return [f"{message} {trivial}; more rows, longer training or a base model to start from may help"]


def _beats(found: Evaluation, name: str, *, upward: bool) -> bool:
    low, high = found.intervals.get(name, (found.metrics[name],) * 2)
    return low > found.baseline[name] if upward else high < found.baseline[name]


def share_interval(share: float, rows: int) -> tuple[float, float]:
    """95 % confidence interval of a share seen in `rows` independent rows (Wilson 1927): sound near 0 and 1, too."""
    spread = Z_95**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
