"""Volume: a clip recorded from far away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.audio.waveform import Audio
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class Volume(Corruption):
    """Lower volume, stored in 16 bits."""

    name = "volume"
    summary = "Volume; remaining fraction"
    column_type = "audio"
    amounts = (0.3, 0.1, 0.02)

    def corrupt(self, value: Audio, amount: float, rng: np.random.Generator) -> Audio:
        """Lower the volume, and round as a file does."""
        samples = (amount * value.samples * 32767).round() / 32767
        return Audio(samples.astype(value.samples.dtype), value.rate_hz)
