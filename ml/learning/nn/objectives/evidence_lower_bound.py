"""Evidence lower bound: learn a latent code that reconstructs the image."""

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
    """No options."""


class EvidenceLowerBound(Objective):
    """Log-likelihood of the image, minus the divergence of its code from the prior."""

    name = "evidence_lower_bound"
    summary = "Learn without labels: compress images to a code and reconstruct them"
    source = "Kingma & Welling 2013, arXiv:1312.6114, equation 10"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.LATENT}), default_architecture="vae")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    config_type = EvidenceLowerBoundConfig
    head = "image_decoder"

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the negative bound in nats per image, and its two terms."""
        return self.network.compute_losses(batch)
