"""Learn a latent code from which the image can be drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ml.config import Config
from ml.learning.nn.objectives.base import Objective
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors


class EvidenceLowerBoundConfig(Config):
    """Nothing to choose."""


class EvidenceLowerBound(Objective):
    """How well the code explains the image, less how far it strays from the prior."""

    name = "evidence_lower_bound"
    summary = "Learn without labels: compress images to a code and draw them again"
    source = "Kingma & Welling 2013, arXiv:1312.6114, equation 10"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.LATENT}), default_architecture="vae")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    config_type = EvidenceLowerBoundConfig
    head = "image_decoder"

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The negative bound in nats an image, and its two halves."""
        return self.network.losses(batch)
