"""Training of the head on the features of frozen backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from ml.config import Config
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.network import Network


class HeadOnlyConfig(Config):
    """No options."""


class HeadOnly(Tuning):
    """Freezes the backbones: their weights, and the running statistics of their normalization."""

    name = "head_only"
    summary = "Freeze the backbone, train the head: fast, and little data is enough"
    source = "Donahue et al. 2013, arXiv:1310.1531 (DeCAF)"
    needs_base = True
    config_type = HeadOnlyConfig
    min_learning_rate = 1e-2

    def __init__(self, config: HeadOnlyConfig) -> None:
        super().__init__(config)
        self._hooks: list[Any] = []  # torch's RemovableHandle

    def apply(self, network: Network) -> None:
        """Freeze the backbones and keep them in evaluation mode, or their batch statistics would change."""
        network.backbones.requires_grad_(False)
        self._hooks = [backbone.register_forward_pre_hook(_evaluate) for backbone in network.backbones.values()]

    def merge(self, network: Network) -> None:
        """Make the backbones trainable again."""
        for hook in self._hooks:
            hook.remove()
        network.requires_grad_(True)


def _evaluate(backbone: nn.Module, _: Any) -> None:
    if backbone.training:
        backbone.eval()
