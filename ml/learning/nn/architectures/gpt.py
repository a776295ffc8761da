"""Decoder-only language models: GPT-2, Llama and related families, as the `transformers` library builds them.

B batch, T input tokens, P past tokens, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor

from ml.config import Config, Count
from ml.errors import SpecError
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.causal_mask import causal_mask, last_position, position_ids
from ml.learning.nn.layers.sdpa import Past, attend_behind
from ml.learning.nn.layers.transformers_config import to_transformers_config
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Name of `_attend` in the library.
ATTENTION: Final = "plinth"


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

        _register_attention()

        options = {**config.options, "use_sliding_window": False}
        self.settings = to_transformers_config(config.family, _to_sizes(config, shape), options)
        self.model: Any = AutoModel.from_config(self.settings, attn_implementation=ATTENTION)  # type: ignore[no-untyped-call]
        width: int = self.settings.hidden_size
        heads: int = self.settings.num_attention_heads
        key_heads: int = getattr(self.settings, "num_key_value_heads", None) or heads
        head_width: int = getattr(self.settings, "head_dim", None) or width // heads
        state = ((key_heads, head_width),) * (2 * self.settings.num_hidden_layers)
        self.widths = Widths(shape=shape, pooled=width, causal=width, state=state)

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
        """Continue from the cached keys and values of every layer."""
        cache = _KeyValueCache(state)
        context_mask = torch.cat([state.mask, mask], dim=1)
        is_allowed = causal_mask(mask, context_mask)
        hidden_BTD: Tensor = self.model(
            input_ids=signal,
            attention_mask=torch.where(is_allowed, 0.0, torch.finfo(torch.float32).min),
            position_ids=position_ids(context_mask)[:, -signal.shape[1] :],
            cache=cache,
            use_cache=True,
            key_values=cache,
        ).last_hidden_state
        return _to_features(hidden_BTD, mask), BackboneState(tuple(cache.new), mask)

    def token_embedding(self) -> Tensor:
        """Return the token embedding."""
        embedding: Tensor = self.model.get_input_embeddings().weight
        return embedding

    @classmethod
    def tiny(cls) -> GPTConfig:
        """Return two layers of two heads."""
        return GPTConfig(family="gpt2", width=8, layers=2, heads=2)


class _KeyValueCache:
    """KV cache for the library.

    It collects new keys and values, and attention reads the past from it.
    """

    def __init__(self, state: BackboneState) -> None:
        self.state = state
        self.new: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values of a layer, and return them alone."""
        self.new += [keys, values]
        return keys, values

    def past(self, layer: int) -> Past:
        """Return keys and values of a layer."""
        return Past(self.state.parts[2 * layer], self.state.parts[2 * layer + 1], self.get_seq_length())

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the number of past tokens."""
        return self.state.mask.shape[1]


def _register_attention() -> None:
    """Make `_attend` known to the library, which has attention to joined keys and values only."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _attend(
    module: Any,
    query_BHTE: Tensor,
    key_BHTE: Tensor,
    value_BHTE: Tensor,
    mask: Tensor | None,
    *,
    key_values: _KeyValueCache | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return attention, [B, T, H, E]: as the library, or behind the past of `resume`."""
    if key_values is None or mask is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query_BHTE, key_BHTE, value_BHTE, mask, scaling=scaling, **options)
    scale = query_BHTE.shape[3] ** -0.5 if scaling is None else scaling
    context = attend_behind(query_BHTE, key_values.past(module.layer_idx), key_BHTE, value_BHTE, mask, scale=scale)
    return context.transpose(1, 2), None


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
