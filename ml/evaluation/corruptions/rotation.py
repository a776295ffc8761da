"""Rotation: a camera that was held askew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from ml.evaluation.corruptions._pixels import border_color, from_image, to_image
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class Rotation(Corruption):
    """Rotation around the middle, to the left or to the right."""

    name = "rotation"
    summary = "Rotation; degrees"
    column_type = "image"
    amounts = (5, 15, 30)
    keeps_places = False

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Rotate uint8 [H, W, C]; corners get the color of the border."""
        angle = amount * rng.choice([-1, 1])
        rotated = to_image(value).rotate(angle, Image.Resampling.BILINEAR, fillcolor=border_color(value))
        return from_image(rotated)
