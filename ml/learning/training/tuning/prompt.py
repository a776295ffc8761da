"""Prompt tuning: a few learned tokens precede each text, and the backbone is frozen."""

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

#: Option of an architecture with the number of prompt tokens that it reads.
LENGTH: Final = "prompt"


class PromptConfig(Config):
    """Options of prompt tuning."""

    length: int = Field(20, ge=1, le=512, description="Number of prompt tokens.")


class Prompt(Tuning):
    """Learns prompt tokens, and nothing else of the backbone.

    Architectures have an option for them, so a package needs nothing of this tuning.
    Prefixes of every layer (Li & Liang 2021) would be a part of the attention of each layer, which is not built here
    for published model families; tokens are a part of the input.
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
    def missing_requirement(cls, backbone: Backbone) -> str | None:
        """Require an architecture with the option `prompt`."""
        has_option = LENGTH in ARCHITECTURES[backbone.name].config_type.model_fields
        return None if has_option else "it cannot read tokens that stand in no text"

    def apply(self, network: Network) -> None:
        """Freeze the backbones and append tokens of the vocabulary to their prompts."""
        self._frozen = Frozen(network.backbones)
        for backbone in network.backbones.values():
            prompted: Any = backbone  # one that passed `missing_requirement`
            prompted.lengthen_prompt(self.config.length)

    def merge(self, network: Network) -> None:
        """Make the backbones trainable; the prompt is a part of them already."""
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)

    def merge_choice(self, choice: Choice) -> Choice:
        """Return the architecture with a longer prompt."""
        config = ARCHITECTURES[choice.name].configure(choice.config).model_dump(mode="json")
        return Choice(name=choice.name, config={**config, LENGTH: config[LENGTH] + self.config.length})
