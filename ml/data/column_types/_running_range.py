"""Count, sum and range of numbers that are seen one after the other."""

from __future__ import annotations


class RunningRange:
    """Facts about all numbers so far; the range is 0 to 0 before the first."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.min = 0.0
        self.max = 0.0

    def add(self, number: float) -> None:
        """Include a number."""
        self.min = min(self.min, number) if self.count else number
        self.max = max(self.max, number) if self.count else number
        self.count += 1
        self.total += number

    @property
    def mean(self) -> float:
        """Mean; 0 before the first number."""
        return self.total / max(1, self.count)
