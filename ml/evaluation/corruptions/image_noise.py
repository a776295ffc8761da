"""Noise of the sensor: a normal random number added to each value."""

from __future__ import annotations

import numpy as np

from ml.evaluation.corruptions.base import Corruption


class ImageNoise(Corruption):
    """Gaussian noise."""

    name = "image_noise"
    summary = "Noise; standard deviation as a fraction of white"
    column_type = "image"
    amounts = (0.04, 0.08, 0.16)

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Add noise to uint8 [H, W, C]."""
        noise = rng.normal(0, 255 * amount, value.shape)
        return (value + noise).round().clip(0, 255).astype(np.uint8)
