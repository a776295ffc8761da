"""The head first, then layer by layer down to the first, each slower than the one above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml.config import Config
from ml.learning.nn.layers.layer_groups import layer_groups
from ml.learning.training.optimizers import ParameterGroupOptions
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from torch.nn import Parameter

    from ml.learning.nn.network import Network


class GradualUnfreezingConfig(Config):
    """`decay` is how much slower a layer moves than the one above it; the paper has 2.6."""

    decay: float = Field(2.6, ge=1)
    thawed_after: float = Field(0.5, ge=0, le=1)
    """Share of all steps after which the first layer moves as well. The paper thaws a layer an epoch."""


class GradualUnfreezing(Tuning):
    """What a base model has learned is forgotten least where it is most general: in its first layers.

    Layers that are frozen read in training all the same: their dropout is on and their running statistics move.
    """

    name = "gradual_unfreezing"
    summary = "Train the head first and thaw layer by layer, lower layers slower"
    source = "Howard & Ruder 2018, Universal language model fine-tuning (ULMFiT), arXiv:1801.06146, section 3.3"
    needs_base = True
    config_type = GradualUnfreezingConfig
    min_learning_rate = 1e-3

    def apply(self, network: Network) -> None:
        """Everything moves in the end."""
        network.requires_grad_(True)

    def parameter_groups(self, network: Network) -> dict[Parameter, ParameterGroupOptions]:
        """By how many layers stand between a weight and the head."""
        found: dict[Parameter, ParameterGroupOptions] = {}
        for backbone in network.backbones.values():
            layers = layer_groups(backbone)
            for below, layer in enumerate(reversed(layers), start=1):
                thaws = self.config.thawed_after * below / len(layers)
                pace = ParameterGroupOptions(rate=self.config.decay**-below, unfreeze_at=thaws)
                found |= dict.fromkeys(layer, pace)
        return found

    def merge(self, network: Network) -> None:
        """Nothing was wrapped; what a run that ended early never thawed moves from here on."""
        network.requires_grad_(True)
