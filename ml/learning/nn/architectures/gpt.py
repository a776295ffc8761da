"""Decoder-only language models: GPT-2, Llama and related families, as the `transformers` library builds them.

B batch, T input tokens, P past tokens, D width, K cached numbers per token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ml.config import Config, Count
from ml.errors import SpecError
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.causal_mask import causal_mask, last_position, position_ids
from ml.learning.nn.layers.transformers_config import to_transformers_config
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping


class GPTConfig(Config):
    """Sizes that all families have; further options of a family go into `options`."""

    family: Literal["gpt2", "gpt_neox", "llama", "mistral", "opt", "phi", "qwen2", "qwen3"] = Field(
        "llama", description="`model_type` of a Hugging Face `config.json`."
    )
    width: Count = 128
    layers: Count = 4
    heads: Count = 4
    feed_forward: Count | None = Field(
        None, description="Width of the feed-forward network; by default four times the width."
    )
    dropout: float = Field(0.0, ge=0, lt=1)
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options under their names in that `config.json` (`num_key_value_heads`, `rope_theta`); "
        "they take precedence.",
    )


class GPT(Backbone):
    """Decoder without its head. Position 0 is the first real token after any padding."""

    name = "gpt"
    summary = "Decoder-only language model: GPT-2, Llama and related families"
    source = "Radford et al. 2019, Language models are unsupervised multitask learners (GPT-2)"
    accepts = frozenset({Signal.TOKENS})
    provides = frozenset({Feature.POOLED, Feature.CAUSAL})
    config_type = GPTConfig
    recipe = Schedule(
        epochs=6,
        batch_size=8,
        optimizer="adamw",
        learning_rate=3e-3,
        weight_decay=0.1,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    # Options of an imported model may describe every layer.
    growable: ClassVar[Mapping[str, Mapping[str, Any]]] = {"layers": {"options": {}}}
    residual_outputs = tuple(
        f"{layer}.{kind}"
        for layer in ("c_proj", "o_proj", "out_proj", "down_proj", "dense", "dense_4h_to_h", "fc2")
        for kind in ("weight", "bias")
    )
    prunable = ("feed_forward",)
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 50_257, "length": 1024}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # After 300 steps of 2,048 tokens of tinyshakespeare a Llama has 2.31 bits per character, a GPT-2 2.60.
        "small": {"family": "llama", "width": 128, "layers": 4, "heads": 4},
        # For items instead of tokens: an item occurs far less often than a token of text.
        "narrow": {"family": "gpt2", "width": 64, "layers": 1, "heads": 2, "dropout": 0.3},
        "medium": {"family": "llama", "width": 384, "layers": 6, "heads": 6, "dropout": 0.1},
        "gpt2": {"family": "gpt2", "width": 768, "layers": 12, "heads": 12, "dropout": 0.1},
    }

    def __init__(self, config: GPTConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        from transformers import AutoModel  # takes seconds to import

        options = {**config.options, "use_sliding_window": False}
        self.settings = to_transformers_config(config.family, _to_sizes(config, shape), options)
        self.model: Any = AutoModel.from_config(self.settings)  # type: ignore[no-untyped-call]
        width: int = self.settings.hidden_size
        heads: int = self.settings.num_attention_heads
        key_heads: int = getattr(self.settings, "num_key_value_heads", None) or heads
        head_width: int = getattr(self.settings, "head_dim", None) or width // heads
        self.cache_shape = (2 * self.settings.num_hidden_layers, key_heads, head_width)
        self.widths = Widths(shape=shape, pooled=width, causal=width, state=math.prod(self.cache_shape))

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the last hidden states; pooled is that of the last real token."""
        if mask is None:
            # Without padding the library may omit the mask, and with it half of the attention.
            return _to_features(self.model(input_ids=signal, use_cache=False).last_hidden_state, None)
        masks = {"attention_mask": causal_mask(mask, mask), "position_ids": position_ids(mask)}
        return _to_features(self.model(input_ids=signal, use_cache=False, **masks).last_hidden_state, mask)

    @classmethod
    def spell_out(cls, config: GPTConfig) -> GPTConfig:
        """Return the config with the width of the feed-forward networks."""
        return config.model_copy(update={"feed_forward": config.feed_forward or 4 * config.width})

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Continue from the cached keys and values of all layers, which are concatenated in K."""
        cache = _KeyValueCache(state.memory, shape=self.cache_shape)
        context_mask = torch.cat([state.mask, mask], dim=1)
        hidden_BTD: Tensor = self.model(
            input_ids=signal,
            attention_mask=causal_mask(mask, context_mask),
            position_ids=position_ids(context_mask)[:, -signal.shape[1] :],
            cache=cache,
            use_cache=True,
        ).last_hidden_state
        return _to_features(hidden_BTD, mask), BackboneState(cache.to_memory(), context_mask)

    def token_embedding(self) -> Tensor:
        """Return the token embedding."""
        embedding: Tensor = self.model.get_input_embeddings().weight
        return embedding

    @classmethod
    def tiny(cls) -> GPTConfig:
        """Return two layers of two heads."""
        return GPTConfig(family="gpt2", width=8, layers=2, heads=2)


class _KeyValueCache:
    """KV cache for the library, which returns past keys and values and collects new ones."""

    def __init__(self, past_BPK: Tensor, *, shape: tuple[int, int, int]) -> None:
        self.past_BPK = past_BPK
        # [2 x layers] of [B, heads, P, D / heads]
        self.past = past_BPK.view(*past_BPK.shape[:2], *shape).permute(2, 0, 3, 1, 4).unbind()
        self.new: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values of a layer; return them appended to the past ones."""
        self.new += [keys, values]
        return torch.cat([self.past[2 * layer], keys], dim=2), torch.cat([self.past[2 * layer + 1], values], dim=2)

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the number of past tokens."""
        return self.past_BPK.shape[1]

    def to_memory(self) -> Tensor:
        """Return all keys and values, [B, P + T, K]."""
        new_BTK = torch.stack(self.new).permute(1, 3, 0, 2, 4).flatten(2)
        return torch.cat([self.past_BPK, new_BTK], dim=1)


def _to_features(hidden_BTD: Tensor, mask: Tensor | None) -> Features:
    return {Feature.POOLED: (last_position(hidden_BTD, mask),), Feature.CAUSAL: (hidden_BTD,)}


def _to_sizes(config: GPTConfig, shape: Mapping[str, int]) -> dict[str, Any]:
    """Return the config as options of the library; raises `SpecError` for a short attention window."""
    window = config.options.get("sliding_window")
    if window is not None and config.options.get("use_sliding_window", True) and window < shape["length"]:
        message = f"attention windows are not supported: this {config.family} has one of {window} tokens, but the text "
        message += f"encoder has a length of {shape['length']}"
        raise SpecError(message, hint=f"Set the length of the text encoder to {window}.")
    sizes = {
        "vocab_size": shape["vocabulary"],
        "max_position_embeddings": shape["length"],
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
    }
    dropout = dict.fromkeys(
        ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout", "dropout"), config.dropout
    )
    inner = config.feed_forward or 4 * config.width
    derived = {"intermediate_size": inner, "num_key_value_heads": config.heads, "ffn_dim": inner, "n_inner": inner}
    unset = dict.fromkeys(("sliding_window", "pad_token_id", "bos_token_id", "eos_token_id"))
    return {**derived, **sizes, **dropout, **unset}
