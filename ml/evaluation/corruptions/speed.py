"""Speed: a clip played faster or slower, with its pitch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.audio.resampling import resample
from ml.audio.waveform import Audio
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class Speed(Corruption):
    """Another speed, faster or slower at random."""

    name = "speed"
    summary = "Speed; change as a fraction"
    column_type = "audio"
    amounts = (0.05, 0.1, 0.2)

    def corrupt(self, value: Audio, amount: float, rng: np.random.Generator) -> Audio:
        """Resample, and keep the rate."""
        # To a percent, which keeps the filter of the resampling short.
        factor = round(100 * (1 + amount * float(rng.choice([-1, 1]))))
        return Audio(resample(value.samples, factor, 100), value.rate_hz)
