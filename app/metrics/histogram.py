"""A histogram that is cheap enough for every request.

Counting a value takes a fraction of a microsecond.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Upper bounds of the buckets of a duration, in seconds.
SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


class Histogram:
    """Counts of values by bucket since the process started.

    Not thread-safe: used on the event loop only.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds` are the inclusive upper bounds of the buckets; one more bucket counts larger values."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        #: Sum of all values.
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)

    def merge(self, histogram: Histogram) -> None:
        """Add the counts of a histogram that has the same bounds."""
        self.counts = [own + added for own, added in zip(self.counts, histogram.counts, strict=True)]
        self.total += histogram.total

    def quantile(self, fraction: float) -> float | None:
        """Estimate the value that this fraction of the values does not exceed; None without values.

        Values are taken as evenly spread within a bucket; beyond the last bound, that bound is returned.
        """
        rank = fraction * self.count
        if not rank:
            return None
        before = 0
        low = 0.0
        for high, count in zip(self.bounds, self.counts, strict=False):
            if before + count >= rank:
                return low + (high - low) * (rank - before) / count
            before, low = before + count, high
        return low

    def buckets(self) -> list[tuple[str, int]]:
        """Return the cumulative count up to each bound, as Prometheus expects it."""
        buckets, total = [], 0
        for bound, count in zip((*map(repr, map(float, self.bounds)), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return buckets
