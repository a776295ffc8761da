"""The backbone stays as it is; only what is read off its features is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from ml.config import Config
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.network import Network


class HeadOnlyConfig(Config):
    """Nothing to choose."""


class HeadOnly(Tuning):
    """Frozen backbones: their weights, and the running statistics of their normalisation."""

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
        """Freeze, and keep the backbones in evaluation: in training their batch statistics would go on moving."""
        network.backbones.requires_grad_(False)
        self._hooks = [backbone.register_forward_pre_hook(_evaluate) for backbone in network.backbones.values()]

    def merge(self, network: Network) -> None:
        """Let go of the backbones."""
        for hook in self._hooks:
            hook.remove()
        network.requires_grad_(True)


def _evaluate(backbone: nn.Module, _: Any) -> None:
    if backbone.training:
        backbone.eval()
