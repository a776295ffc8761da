"""Learn from pictures and what is written beside them which belong together."""

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
    """Nothing to choose."""


class ImageTextContrast(Objective):
    """CLIP: of all captions in a batch each picture must find its own, and each caption its picture."""

    name = "image_text_contrast"
    summary = "Learn without labels: pictures and the captions that belong to them"
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
        """The symmetric cross-entropy of figure 3, and how often the twin is nearest."""
        return self.network.losses(batch)
