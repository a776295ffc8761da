"""A recording in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """float32 [N] in -1..1, one channel, so many samples a second."""

    samples: np.ndarray
    rate_hz: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate_hz

    @property
    def nbytes(self) -> int:
        """Bytes of its samples, as of an array."""
        return self.samples.nbytes
