"""A few made-up tokens before every text, learned, while everything else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from ml.config import Choice, Config
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.layers.frozen import Frozen
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.network import Network

LENGTH: Final = "prompt"
"""The option of an architecture that says how many such tokens it reads."""


class PromptConfig(Config):
    """How many."""

    length: int = Field(20, ge=1, le=512)


class Prompt(Tuning):
    """What is learned is a part that the architecture can be built with, so a package needs nothing of this.

    Prefixes of every layer (Li & Liang 2021) would have to be a part of each layer's attention, which for published
    families is not ours to build; tokens are a part of the input.
    """

    name = "prompt"
    summary = "Freeze everything but the head, learn a few tokens that stand before every text"
    source = "Lester et al. 2021, The power of scale for parameter-efficient prompt tuning, arXiv:2104.08691"
    needs_base = True
    config_type = PromptConfig
    min_learning_rate = 1e-2

    def __init__(self, config: PromptConfig) -> None:
        super().__init__(config)
        self._frozen: Frozen | None = None

    @classmethod
    def unmet(cls, backbone: Backbone) -> str | None:
        """An architecture says so by the option."""
        has_option = LENGTH in ARCHITECTURES[backbone.name].config_type.model_fields
        return None if has_option else "it cannot read tokens that stand in no text"

    def apply(self, network: Network) -> None:
        """Begin with the prompt that the base has, if any, and at its end with tokens drawn from the vocabulary."""
        self._frozen = Frozen(network.backbones)
        for backbone in network.backbones.values():
            longer: Any = backbone  # `unmet` says which have it
            longer.lengthen_prompt(self.config.length)

    def merge(self, network: Network) -> None:
        """It is a part of the backbone already."""
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)

    def merged(self, choice: Choice) -> Choice:
        """The same with a longer prompt."""
        config = ARCHITECTURES[choice.name].configure(choice.config).model_dump(mode="json")
        return Choice(name=choice.name, config={**config, LENGTH: config[LENGTH] + self.config.length})
