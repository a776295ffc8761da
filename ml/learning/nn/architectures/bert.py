"""Bidirectional encoders: BERT and related families, as the `transformers` library builds them.

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
from ml.learning.nn.layers.attention import padding_mask, to_attention_bias
from ml.learning.nn.layers.causal_mask import position_ids
from ml.learning.nn.layers.masking import masked_mean, to_mask, zero_masked
from ml.learning.nn.layers.transformers_config import to_transformers_config
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Families whose first position is that after the id of the padding token, for historical reasons.
PADDING_OFFSET_FAMILIES: Final = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
POOLERLESS_FAMILIES: Final = frozenset({"distilbert", "electra"})
#: Families that accept an attention mask of [B, T] only.
FLAT_MASK_FAMILIES: Final = frozenset({"mpnet"})


class BERTConfig(Config):
    """Sizes that all families have; further options of a family go into `options`."""

    family: Literal["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet"] = Field(
        "bert", description="`model_type` of a Hugging Face `config.json`."
    )
    width: Count = 128
    layers: Count = 2
    heads: Count = 4
    feed_forward: int = Field(
        0, ge=0, le=65_536, description="Width of the feed-forward network; 0 for four times the width."
    )
    dropout: float = Field(0.1, ge=0, lt=1)
    pooling: Literal["mean", "first", "pooler"] = Field(
        "mean",
        description="Mean over time; the first token; or the first token after one more layer, as BERT was published, "
        "for families that have it.",
    )
    prompt: int = Field(
        0,
        ge=0,
        le=4096,
        description="Number of learned tokens before every text. They share the positions of its first tokens.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options under their names in that `config.json` (`hidden_act`, `type_vocab_size`); "
        "they take precedence.",
    )


class BERT(Backbone):
    """Encoder without its pretraining heads. Tensors have the names of the Hugging Face model."""

    name = "bert"
    summary = "Bidirectional encoder: BERT, RoBERTa, DistilBERT and related families"
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
        max_steps=600,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-4,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
    )
    prunable = ("feed_forward",)
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 30_522, "length": 512, "padding": 0}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "layers": 2, "heads": 4},
        "minilm": {"width": 384, "layers": 6, "heads": 12},
        "base": {"width": 768, "layers": 12, "heads": 12, "pooling": "pooler"},
        "distilbert": {"family": "distilbert", "width": 768, "layers": 6, "heads": 12, "pooling": "first"},
    }

    def __init__(self, config: BERTConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        from transformers import AutoModel  # takes seconds to import

        if config.pooling == "pooler" and config.family in POOLERLESS_FAMILIES:
            raise SpecError(f"{config.family} has no pooler", hint="Set pooling to mean or first.")
        settings = to_transformers_config(config.family, _to_sizes(config, shape), config.options)
        self.model: Any = AutoModel.from_config(settings)  # type: ignore[no-untyped-call]
        self.pooling = config.pooling
        if config.pooling != "pooler" and config.family not in POOLERLESS_FAMILIES:
            self.model.pooler = None
        self.first_position = _first_position(config.family, settings.pad_token_id)
        self.max_tokens = settings.max_position_embeddings - self.first_position
        if shape["length"] > self.max_tokens:
            message = f"this {config.family} has positions for {self.max_tokens} tokens, but the text encoder has a "
            message += f"max_length of {shape['length']}"
            raise SpecError(message, hint=f"Set max_length of the text encoder to {self.max_tokens}.")
        self.has_flat_mask = config.family in FLAT_MASK_FAMILIES
        prompt_shape = (config.prompt, self.token_embedding().shape[1])
        self.prompt = nn.Parameter(torch.zeros(prompt_shape)) if config.prompt else None
        self.widths = Widths(shape=shape, pooled=settings.hidden_size, sequence=settings.hidden_size)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the last hidden states, and their pooling."""
        mask_BT = to_mask(signal, mask)
        positions_BT = position_ids(mask_BT) + self.first_position
        if self.prompt is None:
            output = self._encode(mask_BT, positions_BT, input_ids=signal)
            sequence_BTD: Tensor = output.last_hidden_state
        else:
            output = self._encode_with_prompt(self.prompt, signal, mask_BT, positions_BT)
            sequence_BTD = output.last_hidden_state[:, len(self.prompt) :]
        if self.pooling == "pooler":
            pooled_BD: Tensor = output.pooler_output if self.prompt is None else self.model.pooler(sequence_BTD)
        else:
            pooled_BD = masked_mean(sequence_BTD, mask_BT) if self.pooling == "mean" else sequence_BTD[:, 0]
        return {Feature.POOLED: (pooled_BD,), Feature.SEQUENCE: (zero_masked(sequence_BTD, mask_BT),)}

    @classmethod
    def spell_out(cls, config: BERTConfig) -> BERTConfig:
        """Return the config with the width of the feed-forward networks."""
        return config.model_copy(update={"feed_forward": config.feed_forward or 4 * config.width})

    def lengthen_prompt(self, count: int) -> None:
        """Append `count` tokens to the prompt, initialized with random tokens of the vocabulary."""
        table = self.token_embedding().detach()
        added = table[torch.randint(len(table), (count,))].clone()
        self.prompt = nn.Parameter(added if self.prompt is None else torch.cat([self.prompt.detach(), added]))

    def _encode(self, mask_BT: Tensor, positions_BT: Tensor, **tokens: Tensor) -> Any:  # the library's ModelOutput
        mask = mask_BT.long() if self.has_flat_mask else to_attention_bias(padding_mask(mask_BT))
        return self.model(attention_mask=mask, position_ids=positions_BT, **tokens)

    def _encode_with_prompt(self, prompt: Tensor, signal: Tensor, mask_BT: Tensor, positions_BT: Tensor) -> Any:
        rows, count = signal.shape[0], prompt.shape[0]
        embedded = torch.cat([prompt.expand(rows, -1, -1), self.model.get_input_embeddings()(signal)], dim=1)
        prompt_mask = torch.ones(rows, count, dtype=torch.bool, device=signal.device)
        prompt_positions = torch.arange(count, device=signal.device).clamp(max=self.max_tokens - 1)
        prompt_positions = (prompt_positions + self.first_position).expand(rows, -1)
        return self._encode(
            torch.cat([prompt_mask, mask_BT], dim=1),
            torch.cat([prompt_positions, positions_BT], dim=1),
            inputs_embeds=embedded,
        )

    def token_embedding(self) -> Tensor:
        """Return the token embedding."""
        embedding: Tensor = self.model.get_input_embeddings().weight
        return embedding

    @classmethod
    def tiny(cls) -> BERTConfig:
        """Return two layers of two heads, and a pooler."""
        return BERTConfig(width=8, layers=2, heads=2, pooling="pooler")


def _first_position(family: str, padding: int) -> int:
    return padding + 1 if family in PADDING_OFFSET_FAMILIES else 0


def _to_sizes(config: BERTConfig, shape: Mapping[str, int]) -> dict[str, Any]:
    """Return the config as options of the library, under the names of all families."""
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
