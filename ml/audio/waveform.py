"""Audio in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Audio of one channel: float32 [N] in -1..1 at `rate_hz` samples a second."""

    samples: np.ndarray
    rate_hz: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.rate_hz

    @property
    def nbytes(self) -> int:
        """Bytes of the samples, as numpy counts them."""
        return self.samples.nbytes
