"""Background noise, equally strong at all frequencies."""

from __future__ import annotations

import numpy as np

from ml.audio.waveform import Audio
from ml.evaluation.corruptions.base import Corruption


class AudioNoise(Corruption):
    """White noise under the whole clip."""

    name = "audio_noise"
    summary = "Noise; decibels below the signal"
    column_type = "audio"
    amounts = (30, 20, 10)

    def corrupt(self, value: Audio, amount: float, rng: np.random.Generator) -> Audio:
        """Add noise to the samples."""
        level = np.sqrt(np.mean(np.square(value.samples, dtype=np.float64))) * 10 ** (-amount / 20)
        noisy = value.samples + rng.normal(0, level, len(value.samples))
        return Audio(noisy.clip(-1, 1).astype(np.float32), value.rate_hz)
