"""Every weight moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.config import Config
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.network import Network


class FullConfig(Config):
    """Nothing to choose."""


class Full(Tuning):
    """The most that can be learned, and forgotten."""

    name = "full"
    summary = "Train every weight"
    source = "Rumelhart, Hinton & Williams 1986"
    config_type = FullConfig

    def apply(self, network: Network) -> None:
        """Let everything move."""
        network.requires_grad_(True)

    def merge(self, network: Network) -> None:
        """Nothing was wrapped."""
