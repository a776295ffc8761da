"""Gradual unfreezing: the head is trained first, then layer by layer, lower layers more slowly."""

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
    """Options of gradual unfreezing."""

    decay: float = Field(
        2.6, ge=1, description="Factor by which the learning rate of a layer is below that of the layer above."
    )
    unfreeze_until: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Fraction of all steps after which all layers are trained. The paper unfreezes a layer an epoch.",
    )


class GradualUnfreezing(Tuning):
    """Forgets least of a base model in its first layers, which are the most general.

    Dropout and running statistics of frozen layers are those of training.
    """

    name = "gradual_unfreezing"
    summary = "Train the head first and thaw layer by layer, lower layers slower"
    source = "Howard & Ruder 2018, Universal language model fine-tuning (ULMFiT), arXiv:1801.06146, section 3.3"
    needs_base = True
    config_type = GradualUnfreezingConfig
    min_learning_rate = 1e-3

    def apply(self, network: Network) -> None:
        """Make all weights trainable: each is trained in the end."""
        network.requires_grad_(True)

    def parameter_groups(self, network: Network) -> dict[Parameter, ParameterGroupOptions]:
        """Return options by the number of layers between a weight and the head."""
        options: dict[Parameter, ParameterGroupOptions] = {}
        for backbone in network.backbones.values():
            layers = layer_groups(backbone)
            for depth, layer in enumerate(reversed(layers), start=1):
                unfreeze_at = self.config.unfreeze_until * depth / len(layers)
                layer_options = ParameterGroupOptions(rate_factor=self.config.decay**-depth, unfreeze_at=unfreeze_at)
                options |= dict.fromkeys(layer, layer_options)
        return options

    def merge(self, network: Network) -> None:
        """Make all weights trainable, also those that a run that ended early never unfroze."""
        network.requires_grad_(True)
