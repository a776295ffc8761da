"""How long answers took: a histogram that costs a fraction of a microsecond to add to."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Of each bucket the largest value; one more has whatever took longer."""


class Latency:
    """Counts by bucket, since the process began. Of one thread: the event loop's."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0
        """All together."""

    def note(self, seconds: float) -> None:
        """One more answer."""
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        """Of all answers."""
        return sum(self.counts)

    def add(self, other: Latency) -> None:
        """Those of another."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of the answers came, evenly spread in a bucket; None before the first."""
        wanted = share * self.count
        if not wanted:
            return None
        before = 0
        low = 0.0
        for high, count in zip(BOUNDS_SECONDS, self.counts, strict=False):
            if before + count >= wanted:
                return low + (high - low) * (wanted - before) / count
            before, low = before + count, high
        return low

    def buckets(self) -> list[tuple[str, int]]:
        """As Prometheus has them: up to each bound, so many."""
        found, total = [], 0
        for bound, count in zip((*BOUNDS_SECONDS, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), total))
        return found
