"""Image-text contrast: learn which images and captions belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ml.config import Config
from ml.learning.nn.objectives.base import Objective
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors


class ImageTextContrastConfig(Config):
    """No options."""


class ImageTextContrast(Objective):
    """CLIP: match each image with its caption in the batch, and vice versa."""

    name = "image_text_contrast"
    summary = "Learn without labels: match images with their captions"
    source = "Radford et al. 2021, arXiv:2103.00020 (CLIP)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn"),
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="transformer"
        ),
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text"}
    config_type = ImageTextContrastConfig
    head = "projections"

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the symmetric cross-entropy of figure 3, and the fraction of pairs that are nearest."""
        return self.network.compute_losses(batch)
