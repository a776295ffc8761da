"""Asynchronous successive halving: ends trials that are weak after a fraction of their epochs.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv:1810.05934). A trial that reaches a rung
continues if it is among the best `1 / factor` of those that have reached it so far. Nothing waits for other trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence


class Halving(Config):
    """Options of successive halving."""

    factor: int = Field(3, ge=2, le=10, description="One trial of this number continues beyond a rung.")
    rungs: int = Field(
        2, ge=1, le=5, description="Number of comparisons; the first is after 1 / factor ** rungs of the epochs."
    )

    def evaluations(self, epochs: int) -> list[int]:
        """Return the number of validations after which a trial reaches each rung.

        The last rung is the end of the epochs: only the best trials continue where few rows get further rounds. A trial
        of few epochs reaches several rungs at once.
        """
        fractions = [self.factor ** -(self.rungs - number) for number in range(self.rungs)]
        return [*(max(1, round(epochs * fraction)) for fraction in fractions), epochs]

    def rung_values(self, curve: Sequence[float | None], *, epochs: int, higher_is_better: bool) -> list[float]:
        """Return the best value of a curve up to each rung that it has reached.

        `curve` holds one value for each validation.
        """
        reached = [count for count in self.evaluations(epochs) if count <= len(curve)]
        values = ([value for value in curve[:count] if value is not None] for count in reached)
        best = max if higher_is_better else min
        return [best(numbers) for numbers in values if numbers]

    def count_rungs(self, evaluation: int, *, epochs: int) -> int:
        """Return the number of rungs that a trial reaches with a validation, counted from 1."""
        return self.evaluations(epochs).count(evaluation)

    def is_weak(self, value: float, others: Sequence[float], *, higher_is_better: bool, rungs: int = 1) -> bool:
        """Return whether a value is not among the best of a rung.

        `others` are the values of the other trials there. Half of the equal ones count as better: few validation rows
        give many trials the same accuracy, and without this none of them would end. Several `rungs` that
        are reached at once all select: one of `factor ** rungs` continues.
        """
        better = sum(competitor > value if higher_is_better else competitor < value for competitor in others)
        equal = sum(competitor == value for competitor in others)
        remaining: int = (len(others) + 1) // self.factor**rungs
        return better + equal / 2 >= max(1, remaining)
