"""Evaluation results: metrics with their meaning, trivial baselines and confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Half-width, in standard deviations, of the interval that holds 95 % of a normal distribution.
Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Metric:
    """Meaning of a metric: over which rows, weighted how, and whether higher is better."""

    summary: str
    higher_is_better: bool


@dataclass(slots=True)
class Evaluation:
    """Result of evaluating a network on one split."""

    metrics: dict[str, float]
    #: The same metrics for the best answer that ignores the input.
    baseline: dict[str, float] = field(default_factory=dict)
    #: 95 % confidence intervals.
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    #: Conditions under which a metric means something else than its name suggests.
    notes: list[str] = field(default_factory=list)
    #: Further sections of the report: confusion matrix, per class, errors.
    extra: dict[str, Any] = field(default_factory=dict)


def find_weaknesses(evaluation: Evaluation, metrics: Mapping[str, Metric], *, rows_name: str) -> list[str]:
    """Return warnings about a model that does not beat the trivial baseline.

    A metric with an interval must have the baseline outside of it; if no metric has an interval, any better value
    counts. `rows_name` says in the message which rows were evaluated.
    """
    names = [name for name in evaluation.metrics if name in evaluation.baseline and name in metrics]
    names = [name for name in names if name in evaluation.intervals] or names
    if not names or any(_beats_baseline(evaluation, name, upward=metrics[name].higher_is_better) for name in names):
        return []
    name = names[0]
    value, baseline = f"{evaluation.metrics[name]:.4g}", f"{evaluation.baseline[name]:.4g}"
    message = f"nothing shows that the model has learned: {name} is {value} on {rows_name}, the trivial baseline has"
    return [f"{message} {baseline}; more rows, longer training or a base model in start_from may help"]


def _beats_baseline(evaluation: Evaluation, name: str, *, upward: bool) -> bool:
    low, high = evaluation.intervals.get(name, (evaluation.metrics[name],) * 2)
    return low > evaluation.baseline[name] if upward else high < evaluation.baseline[name]


def wilson_interval(fraction: float, rows: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a fraction of `rows` independent rows.

    Wilson (1927); valid near 0 and 1, too.
    """
    spread = Z_95**2 / rows
    middle = (fraction + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(fraction * (1 - fraction) / rows + spread / (4 * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
