"""Bottleneck adapters beside the feed-forward layers, in the one form that can be folded into them.

D width, I inner width, M bottleneck.
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

INNER: Final = "feed_forward"
"""The option of an architecture that says how wide its feed-forward layers are inside."""
PUBLISHED_INNER: Final = ("intermediate_size", "hidden_dim")
"""The same in a Hugging Face configuration; it goes before."""


class AdaptersConfig(Config):
    """How many more places each feed-forward layer has inside."""

    bottleneck: Count = 32


class Adapters(Tuning):
    """An adapter down to M, an activation, and up again, added to what the feed-forward layer says of the same input.

    Houlsby et al. put theirs behind the layer, where nothing can fold it away; beside it, it does as well or better (He
    et al. 2022), and with the layer's own activation it is the layer itself, M places wider. So it is learned as those
    places, and merging changes no bit of any answer.
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
    def unmet(cls, backbone: Backbone) -> str | None:
        """Which layers are meant is seen from their sizes."""
        has_option = INNER in ARCHITECTURES[backbone.name].config_type.model_fields
        return None if has_option and _pairs(backbone) else "it has no feed-forward layers that can be widened"

    def apply(self, network: Network) -> None:
        """Add places that say nothing at first."""
        self._frozen = Frozen(network.backbones)
        count = self.config.bottleneck
        for backbone in network.backbones.values():
            for into, out_of in _pairs(backbone):
                down, up = torch.empty(count, into.in_features), torch.zeros(out_of.out_features, count)
                nn.init.normal_(down, std=into.in_features**-0.5)
                _widen(into, "weight", down, dim=0)
                if into.bias is not None:
                    _widen(into, "bias", torch.zeros(count), dim=0)
                _widen(out_of, "weight", up, dim=1)
                into.out_features += count
                out_of.in_features += count

    def merge(self, network: Network) -> None:
        """Make of the places ordinary ones."""
        for module in network.backbones.modules():
            for name in ("weight", "bias"):
                if parametrize.is_parametrized(module, name):
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)

    def merged(self, choice: Choice) -> Choice:
        """The same with wider feed-forward layers."""
        config = ARCHITECTURES[choice.name].configure(choice.config).model_dump(mode="json")
        options: dict[str, Any] = config.get("options", {})
        said = [name for name in PUBLISHED_INNER if name in options]
        for name in said:
            options[name] += self.config.bottleneck
        if not said:
            config[INNER] = (config[INNER] or 4 * config["width"]) + self.config.bottleneck
        return Choice(name=choice.name, config=config)


class Pair(NamedTuple):
    """From D to I, and back."""

    into: nn.Linear
    out_of: nn.Linear


class Widened(nn.Module):
    """A tensor with more at its end along `dim`."""

    def __init__(self, more: Tensor, dim: int) -> None:
        super().__init__()
        self.more = nn.Parameter(more)
        self.dim = dim

    def forward(self, tensor: Tensor) -> Tensor:
        """All of it."""
        return torch.cat([tensor, self.more], dim=self.dim)


def _widen(module: nn.Module, name: str, more: Tensor, *, dim: int) -> None:
    parametrize.register_parametrization(module, name, Widened(more, dim), unsafe=True)


def _pairs(backbone: nn.Module) -> list[Pair]:
    """Linear layers that follow each other, the first to more than it reads, the second back.

    Gated layers have two of the first, and an activation that widening would not leave as it is.
    """
    linear = [each for each in backbone.modules() if isinstance(each, nn.Linear)]
    found = []
    for position, (into, out_of) in enumerate(pairwise(linear)):
        width, inner = into.in_features, into.out_features
        if inner <= width or (out_of.in_features, out_of.out_features) != (inner, width):
            continue
        before = linear[position - 1] if position else None
        if before is not None and (before.in_features, before.out_features) == (width, inner):
            raise SpecError("adapters cannot be folded into gated feed-forward layers", hint="Tune with lora instead.")
        found.append(Pair(into, out_of))
    return found
