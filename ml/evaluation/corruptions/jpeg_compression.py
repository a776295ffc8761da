"""JPEG compression: an image that was stored small."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from ml.evaluation.corruptions._pixels import from_image, to_image
from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class JPEGCompression(Corruption):
    """Compression and decompression."""

    name = "jpeg_compression"
    summary = "JPEG compression; quality of 100"
    column_type = "image"
    amounts = (40, 15, 5)

    def corrupt(self, value: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
        """Compress uint8 [H, W, C]."""
        file = io.BytesIO()
        to_image(value).save(file, "JPEG", quality=int(amount))
        with Image.open(file) as image:
            return from_image(image)
