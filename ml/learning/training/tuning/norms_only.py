"""Training of the normalization layers alone, on frozen weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ml.config import Config
from ml.learning.nn.layers.frozen import Frozen
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.network import Network


class NormsOnlyConfig(Config):
    """No options."""


class NormsOnly(Tuning):
    """Trains scales and shifts of normalization layers, and the head.

    With a base model of another signal the new stem is trained too: a frozen pretrained transformer. Positions of the
    same signal stay frozen, which the paper trains.
    """

    name = "norms_only"
    summary = "Freeze the backbone but its normalization layers, train the head: a body of another signal stays whole"
    source = "Lu et al. 2021, Pretrained transformers as universal computation engines, arXiv:2103.05247"
    needs_base = True
    config_type = NormsOnlyConfig
    min_learning_rate = 1e-3

    def __init__(self, config: NormsOnlyConfig) -> None:
        super().__init__(config)
        self._frozen: Frozen | None = None

    @classmethod
    def missing_requirement(cls, backbone: Backbone) -> str | None:
        """Require a normalization layer with a scale."""
        return None if any(_norms(backbone)) else "it has no normalization layers"

    def apply(self, network: Network) -> None:
        """Freeze the backbones, and their running statistics, but for scales and shifts."""
        self._frozen = Frozen(network.backbones)
        for norm in _norms(network.backbones):
            norm.requires_grad_(True)

    def merge(self, network: Network) -> None:
        """Make the backbones trainable again."""
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)


def _norms(root: nn.Module) -> Iterator[nn.Module]:
    """Yield the normalization layers that have weights.

    Those of the `transformers` library are recognized by the end of their name.
    """
    for module in root.modules():
        is_norm = isinstance(module, nn.LayerNorm | nn.GroupNorm | _NormBase) or type(module).__name__.endswith("Norm")
        if is_norm and next(module.parameters(recurse=False), None) is not None:
            yield module
