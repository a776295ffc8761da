"""Training of all weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.config import Config
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.network import Network


class FullConfig(Config):
    """No options."""


class Full(Tuning):
    """Trains every weight: it can learn most, and forget most of a base model."""

    name = "full"
    summary = "Train every weight"
    source = "Rumelhart, Hinton & Williams 1986"
    config_type = FullConfig

    def apply(self, network: Network) -> None:
        """Make all weights trainable."""
        network.requires_grad_(True)

    def merge(self, network: Network) -> None:
        """Do nothing: `apply` changed no structure."""
