"""Blur: an image out of focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import ImageFilter

from ml.evaluation.corruptions._pixels import from_image, to_image
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class Blur(Corruption):
    """Gaussian blur."""

    name = "blur"
    summary = "Blur; radius as a fraction of the shorter side"
    column_type = "image"
    amounts = (0.01, 0.02, 0.04)

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Blur uint8 [H, W, C]."""
        return from_image(to_image(value).filter(ImageFilter.GaussianBlur(amount * min(value.shape[:2]))))
