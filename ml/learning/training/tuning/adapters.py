"""Bottleneck adapters beside feed-forward layers, in the one form that can be merged into them.

D is the width, I the inner width, M the width of the bottleneck.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ml.config import Choice, Config, Count
from ml.errors import SpecError
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.layers.frozen import Frozen
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.network import Network

#: Option of an architecture with the inner width of its feed-forward layers.
INNER_WIDTH: Final = "feed_forward"
#: The same in a Hugging Face configuration, which takes precedence.
PUBLISHED_INNER_WIDTHS: Final = ("intermediate_size", "hidden_dim")


class AdaptersConfig(Config):
    """Options of adapters; `bottleneck` is the number of units added to each layer."""

    bottleneck: Count = 32


class Adapters(Tuning):
    """Adds two projections, to M units and back, beside each feed-forward layer.

    Houlsby et al. put theirs behind the layer, where it cannot be merged; beside it, it does as well or better (He
    et al. 2022). With the activation of the layer, it is the layer itself with M more inner units. So it is learned as
    those units, and merging changes no output by any bit.
    """

    name = "adapters"
    summary = "Freeze the backbone, learn a narrow layer beside each feed-forward layer of a transformer"
    source = (
        "Houlsby et al. 2019, Parameter-efficient transfer learning for NLP, arXiv:1902.00751; beside the layer as in "
        "He et al. 2022, Towards a unified view of parameter-efficient transfer learning, arXiv:2110.04366"
    )
    needs_base = True
    config_type = AdaptersConfig
    min_learning_rate = 3e-3

    def __init__(self, config: AdaptersConfig) -> None:
        super().__init__(config)
        self._frozen: Frozen | None = None

    @classmethod
    def missing_requirement(cls, backbone: Backbone) -> str | None:
        """Require feed-forward layers, which are recognized by their widths."""
        has_option = INNER_WIDTH in ARCHITECTURES[backbone.name].config_type.model_fields
        return None if has_option and _find_pairs(backbone) else "it has no feed-forward layers that can be widened"

    def apply(self, network: Network) -> None:
        """Freeze the backbones and add inner units whose output is zero at first."""
        self._frozen = Frozen(network.backbones)
        count = self.config.bottleneck
        for backbone in network.backbones.values():
            for up, down in _find_pairs(backbone):
                inward, outward = torch.empty(count, up.in_features), torch.zeros(down.out_features, count)
                nn.init.normal_(inward, std=up.in_features**-0.5)
                _widen(up, "weight", inward, dim=0)
                if up.bias is not None:
                    _widen(up, "bias", torch.zeros(count), dim=0)
                _widen(down, "weight", outward, dim=1)
                up.out_features += count
                down.in_features += count

    def merge(self, network: Network) -> None:
        """Turn the additional units into ordinary ones."""
        for module in network.backbones.modules():
            for name in ("weight", "bias"):
                if parametrize.is_parametrized(module, name):
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)

    def merge_choice(self, choice: Choice) -> Choice:
        """Return the architecture with wider feed-forward layers."""
        config = ARCHITECTURES[choice.name].configure(choice.config).model_dump(mode="json")
        options: dict[str, Any] = config.get("options", {})
        published = [name for name in PUBLISHED_INNER_WIDTHS if name in options]
        for name in published:
            options[name] += self.config.bottleneck
        if not published:
            config[INNER_WIDTH] = (config[INNER_WIDTH] or 4 * config["width"]) + self.config.bottleneck
        return Choice(name=choice.name, config=config)


class LinearPair(NamedTuple):
    """The two linear layers of a feed-forward layer: from D to I units, and back."""

    up: nn.Linear
    down: nn.Linear


class Widened(nn.Module):
    """A tensor with learned values appended along `dim`."""

    def __init__(self, appended: Tensor, dim: int) -> None:
        super().__init__()
        self.appended = nn.Parameter(appended)
        self.dim = dim

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the tensor and the appended values."""
        return torch.cat([tensor, self.appended], dim=self.dim)


def _widen(module: nn.Module, name: str, appended: Tensor, *, dim: int) -> None:
    parametrize.register_parametrization(module, name, Widened(appended, dim), unsafe=True)


def _find_pairs(backbone: nn.Module) -> list[LinearPair]:
    """Return pairs of successive linear layers: one that widens, one that narrows back.

    Raises:
        SpecError: A layer is gated: it has two of the first, and widening would change its activation.
    """
    layers = [module for module in backbone.modules() if isinstance(module, nn.Linear)]
    pairs = []
    for position, (up, down) in enumerate(pairwise(layers)):
        width, inner = up.in_features, up.out_features
        if inner <= width or (down.in_features, down.out_features) != (inner, width):
            continue
        previous = layers[position - 1] if position else None
        if previous is not None and (previous.in_features, previous.out_features) == (width, inner):
            raise SpecError("adapters cannot be merged into gated feed-forward layers", hint="Tune with lora instead.")
        pairs.append(LinearPair(up, down))
    return pairs
