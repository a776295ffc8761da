"""Trials as a strategy sees them: what was tried, and how it went."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Outcome(StrEnum):
    """State of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    #: Ended by halving.
    PRUNED = "pruned"
    #: Failed or canceled.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial; `number` counts from 0."""

    number: int
    outcome: Outcome
    #: Values by path of the space; None if the space cannot express the settings, as with a default outside its ranges.
    parameters: Mapping[str, Any] | None
    #: Metric of the weights that a complete trial kept.
    value: float | None = None
    #: Best value up to each rung that was reached.
    rungs: Sequence[float] = ()
    #: Validation loss, which decides between equal values.
    loss: float | None = None


def best_trial(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """Return the complete trial with the best value.

    The lower loss decides between equal values, then the lower number.
    """
    complete = [trial for trial in trials if trial.outcome is Outcome.COMPLETE and trial.value is not None]
    sign = -1 if higher_is_better else 1
    infinity = float("inf")
    return min(
        complete,
        key=lambda trial: (
            sign * (trial.value or 0.0),
            infinity if trial.loss is None else trial.loss,
            trial.number,
        ),
        default=None,
    )
