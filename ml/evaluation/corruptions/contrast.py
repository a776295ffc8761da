"""Contrast: values closer to their mean, as in fog."""

from __future__ import annotations

import numpy as np

from ml.evaluation.corruptions.base import Corruption


class Contrast(Corruption):
    """Lower contrast around the mean of the image."""

    name = "contrast"
    summary = "Contrast; remaining fraction"
    column_type = "image"
    amounts = (0.7, 0.4, 0.2)

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Lower the contrast of uint8 [H, W, C]."""
        mean = value.mean()
        corrupted: np.ndarray = (mean + amount * (value - mean)).round().astype(np.uint8)
        return corrupted
