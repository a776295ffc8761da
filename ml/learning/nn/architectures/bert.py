"""Encoders that read in both directions: BERT and its kin, as Hugging Face's library builds them from a configuration.

B batch, T time, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.errors import SpecError
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.attention import attention_mask, hidden
from ml.learning.nn.layers.causal_mask import positions
from ml.learning.nn.layers.masking import mean, to_mask, zero_masked
from ml.learning.nn.layers.transformers_config import to_transformers_config
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTED_FROM_PADDING: Final = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
"""Their first position stands after the number of the padding token, for historical reasons."""
WITHOUT_POOLER: Final = frozenset({"distilbert", "electra"})
FLAT_MASK: Final = frozenset({"mpnet"})
"""These take a mask [B, T] and nothing else."""


class BERTConfig(Config):
    """`width`, `layers` and `heads` of any family; what else one of them knows goes into `options`."""

    family: Literal["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet"] = "bert"
    """The `model_type` of a Hugging Face `config.json`."""
    width: Count = 128
    layers: Count = 2
    heads: Count = 4
    feed_forward: int = Field(0, ge=0, le=65_536)
    """0: four times the width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    pooling: Literal["mean", "first", "pooler"] = "mean"
    """Over time; the first token; or that after one more layer, as BERT was published, where the family has it."""
    prompt: int = Field(0, ge=0, le=4096)
    """So many learned tokens are read before every text. They share the positions of its first tokens."""
    options: dict[str, Any] = Field(default_factory=dict)
    """By the names of that `config.json` (`hidden_act`, `type_vocab_size`); they go before everything else."""


class BERT(Backbone):
    """An encoder without the heads it was pretrained with; tensors keep their names of a Hugging Face model."""

    name = "bert"
    summary = "Encoder that reads in both directions: BERT, RoBERTa, DistilBERT and their kin"
    source = "Devlin et al. 2018, BERT: Pre-training of deep bidirectional transformers, arXiv:1810.04805"
    accepts = frozenset({Signal.TOKENS})
    provides = frozenset({Feature.POOLED, Feature.SEQUENCE})
    config_type = BERTConfig
    recipe = Schedule(
        epochs=4,
        batch_size=32,
        optimizer="adamw",
        learning_rate=2e-4,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    base_recipe = Schedule(
        epochs=2,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-4,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 30_522, "length": 512, "padding": 0}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "layers": 2, "heads": 4},
        "minilm": {"width": 384, "layers": 6, "heads": 12},
        "base": {"width": 768, "layers": 12, "heads": 12, "pooling": "pooler"},
        "distilbert": {"family": "distilbert", "width": 768, "layers": 6, "heads": 12, "pooling": "first"},
    }

    def __init__(self, config: BERTConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        from transformers import AutoModel  # it takes seconds to import

        if config.pooling == "pooler" and config.family in WITHOUT_POOLER:
            raise SpecError(f"{config.family} has no pooler", hint="Ask for the pooling mean or first.")
        chosen = to_transformers_config(config.family, _sizes(config, shape), config.options)
        self.model: Any = AutoModel.from_config(chosen)  # type: ignore[no-untyped-call]
        self.pooling = config.pooling
        if config.pooling != "pooler" and config.family not in WITHOUT_POOLER:
            self.model.pooler = None
        self.first_position = _first_position(config.family, chosen.pad_token_id)
        self.places = chosen.max_position_embeddings - self.first_position
        if shape["length"] > self.places:
            message = f"this {config.family} has positions for {self.places} tokens; texts are read up to "
            message += str(shape["length"])
            raise SpecError(message, hint=f"Fix the text encoder's max_length to {self.places}.")
        self.flat = config.family in FLAT_MASK
        self.prompt = nn.Parameter(torch.zeros(config.prompt, self.table().shape[1])) if config.prompt else None
        self.widths = Widths(shape=shape, pooled=chosen.hidden_size, sequence=chosen.hidden_size)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """What each token means among all others."""
        mask_BT = to_mask(signal, mask)
        places_BT = positions(mask_BT) + self.first_position
        if self.prompt is None:
            found = self._read(mask_BT, places_BT, input_ids=signal)
            sequence_BTD: Tensor = found.last_hidden_state
        else:
            rows, count = signal.shape[0], self.prompt.shape[0]
            table = self.model.get_input_embeddings()
            read = torch.cat([self.prompt.expand(rows, -1, -1), table(signal)], dim=1)
            every = torch.ones(rows, count, dtype=torch.bool, device=signal.device)
            first = torch.arange(count, device=signal.device).clamp(max=self.places - 1) + self.first_position
            found = self._read(
                torch.cat([every, mask_BT], dim=1),
                torch.cat([first.expand(rows, -1), places_BT], dim=1),
                inputs_embeds=read,
            )
            sequence_BTD = found.last_hidden_state[:, count:]
        if self.pooling == "pooler":
            pooled_BD: Tensor = found.pooler_output if self.prompt is None else self.model.pooler(sequence_BTD)
        else:
            pooled_BD = mean(sequence_BTD, mask_BT) if self.pooling == "mean" else sequence_BTD[:, 0]
        return {Feature.POOLED: (pooled_BD,), Feature.SEQUENCE: (zero_masked(sequence_BTD, mask_BT),)}

    def lengthen_prompt(self, count: int) -> None:
        """Read `count` more tokens before every text; at first they are some of the vocabulary."""
        table = self.table().detach()
        more = table[torch.randint(len(table), (count,))].clone()
        self.prompt = nn.Parameter(more if self.prompt is None else torch.cat([self.prompt.detach(), more]))

    def _read(self, mask_BT: Tensor, places_BT: Tensor, **tokens: Tensor) -> Any:  # the library's ModelOutput
        seen = mask_BT.long() if self.flat else hidden(attention_mask(mask_BT))
        return self.model(attention_mask=seen, position_ids=places_BT, **tokens)

    def table(self) -> Tensor:
        """The token embedding."""
        embedding: Tensor = self.model.get_input_embeddings().weight
        return embedding

    @classmethod
    def tiny(cls) -> BERTConfig:
        """Two layers of two heads, and a pooler."""
        return BERTConfig(width=8, layers=2, heads=2, pooling="pooler")


def _first_position(family: str, padding: int) -> int:
    return padding + 1 if family in COUNTED_FROM_PADDING else 0


def _sizes(config: BERTConfig, shape: Mapping[str, int]) -> dict[str, Any]:
    """By the names that one or another of the families has for them."""
    padding = config.options.get("pad_token_id", shape.get("padding", 0))
    inner = config.feed_forward or 4 * config.width
    sizes = {
        "vocab_size": shape["vocabulary"],
        "max_position_embeddings": shape["length"] + _first_position(config.family, padding),
        "hidden_size": config.width,
        "embedding_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": inner,
        "hidden_dim": inner,
    }
    dropout = dict.fromkeys(
        ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"), config.dropout
    )
    return {**sizes, **dropout, "pad_token_id": padding, "bos_token_id": None, "eos_token_id": None}
