"""Causal language modeling: predict each token of a text from the tokens before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ml.config import Config
from ml.learning.nn.objectives.base import Objective
from ml.preprocessing.sequence_packing import text_encoder_options
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.data.dataset import DatasetSummary
    from ml.learning.nn.heads.base import Tensors


class CausalLanguageModelingConfig(Config):
    """No options."""


class CausalLanguageModeling(Objective):
    """Cross-entropy of each token of each text."""

    name = "causal_language_modeling"
    summary = "Learn without labels: predict each word from those before it"
    source = "Bengio et al. 2003, A neural probabilistic language model; Radford et al. 2018 (GPT)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.CAUSAL}), default_architecture="gpt")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    config_type = CausalLanguageModelingConfig
    head = "next_token"
    packs = True

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return the options of the task text_generation, whose base models this trains."""
        return {"text": text_encoder_options(summary)}

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the loss of the head."""
        return self.network.compute_losses(batch)
