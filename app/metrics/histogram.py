"""Counts by size, of what is counted too often for anything slower: one more costs a fraction of a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Bounds for what takes time."""


class Histogram:
    """Since the process began. Of one thread: the event loop's."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds` has the largest value of each bucket; one more bucket has whatever is larger."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Of all values together."""

    def note(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self.counts)

    def add(self, other: Histogram) -> None:
        """Those of another with the same bounds."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def quantile(self, share: float) -> float | None:
        """What this share of the values does not exceed, evenly spread in a bucket; None before the first."""
        wanted = share * self.count
        if not wanted:
            return None
        before = 0
        low = 0.0
        for high, count in zip(self.bounds, self.counts, strict=False):
            if before + count >= wanted:
                return low + (high - low) * (wanted - before) / count
            before, low = before + count, high
        return low

    def buckets(self) -> list[tuple[str, int]]:
        """As Prometheus has them: up to each bound, so many."""
        found, total = [], 0
        for bound, count in zip((*map(repr, map(float, self.bounds)), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found
