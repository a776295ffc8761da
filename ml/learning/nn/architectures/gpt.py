"""Decoders that read from left to right: GPT-2 and its kin, as Hugging Face's library builds them from a configuration.

B batch, T tokens read now, P tokens remembered from before, D width, K numbers remembered of each token.
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
from ml.learning.nn.layers.causal_mask import causal_mask, last_position, positions
from ml.learning.nn.layers.transformers_config import to_transformers_config
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping


class GPTConfig(Config):
    """`width`, `layers` and `heads` of any family; what else one of them knows goes into `options`."""

    family: Literal["gpt2", "gpt_neox", "llama", "mistral", "opt", "phi", "qwen2", "qwen3"] = "llama"
    """The `model_type` of a Hugging Face `config.json`."""
    width: Count = 128
    layers: Count = 4
    heads: Count = 4
    dropout: float = Field(0.0, ge=0, lt=1)
    options: dict[str, Any] = Field(default_factory=dict)
    """By the names of that `config.json` (`num_key_value_heads`, `rope_theta`); they go before everything else."""


class GPT(Backbone):
    """A decoder without its head. Position 0 is the first real token, wherever padding stands."""

    name = "gpt"
    summary = "Decoder that reads from left to right: GPT-2, Llama and their kin"
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
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 50_257, "length": 1024}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Of tinyshakespeare, after 300 steps of 2,048 tokens, a Llama tells 2.31 bits a character, a GPT-2 2.60.
        "small": {"family": "llama", "width": 128, "layers": 4, "heads": 4},
        # For items in place of tokens: each is seen far less often than a token of text is.
        "narrow": {"family": "gpt2", "width": 64, "layers": 1, "heads": 2, "dropout": 0.3},
        "medium": {"family": "llama", "width": 384, "layers": 6, "heads": 6, "dropout": 0.1},
        "gpt2": {"family": "gpt2", "width": 768, "layers": 12, "heads": 12, "dropout": 0.1},
    }

    def __init__(self, config: GPTConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        from transformers import AutoModel  # it takes seconds to import

        options = {**config.options, "use_sliding_window": False}
        self.settings = to_transformers_config(config.family, _sizes(config, shape), options)
        self.model: Any = AutoModel.from_config(self.settings)  # type: ignore[no-untyped-call]
        width: int = self.settings.hidden_size
        heads: int = self.settings.num_attention_heads
        key_heads: int = getattr(self.settings, "num_key_value_heads", None) or heads
        head_width: int = getattr(self.settings, "head_dim", None) or width // heads
        self.parts = (2 * self.settings.num_hidden_layers, key_heads, head_width)
        self.widths = Widths(shape=shape, pooled=width, causal=width, state=math.prod(self.parts))

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """What each token means after those before it; pooled is the last real one."""
        if mask is None:
            # Without padding the library may skip the mask, and with it half of the attention.
            return _features(self.model(input_ids=signal, use_cache=False).last_hidden_state, None)
        read = {"attention_mask": causal_mask(mask, mask), "position_ids": positions(mask)}
        return _features(self.model(input_ids=signal, use_cache=False, **read).last_hidden_state, mask)

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Remembers each layer's keys and values; they stand side by side in K."""
        memory = _Memory(state.memory, parts=self.parts)
        known = torch.cat([state.mask, mask], dim=1)
        read: Tensor = self.model(
            input_ids=signal,
            attention_mask=causal_mask(mask, known),
            position_ids=positions(known)[:, -signal.shape[1] :],
            cache=memory,
            use_cache=True,
        ).last_hidden_state
        return _features(read, mask), BackboneState(memory.grown(), known)

    def table(self) -> Tensor:
        """The token embedding."""
        embedding: Tensor = self.model.get_input_embeddings().weight
        return embedding

    @classmethod
    def tiny(cls) -> GPTConfig:
        """Two layers of two heads."""
        return GPTConfig(family="gpt2", width=8, layers=2, heads=2)


class _Memory:
    """Stands where the library expects its cache: gives the keys and values of before, and keeps those of now."""

    def __init__(self, past_BPK: Tensor, *, parts: tuple[int, int, int]) -> None:
        self.past_BPK = past_BPK
        # [2 x layers] of [B, heads, P, D / heads]
        self.parts = past_BPK.view(*past_BPK.shape[:2], *parts).permute(2, 0, 3, 1, 4).unbind()
        self.now: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.now += [keys, values]
        return torch.cat([self.parts[2 * layer], keys], dim=2), torch.cat([self.parts[2 * layer + 1], values], dim=2)

    def get_seq_length(self, layer: int = 0) -> int:
        return self.past_BPK.shape[1]

    def grown(self) -> Tensor:
        now = torch.stack(self.now).permute(1, 3, 0, 2, 4).flatten(2)
        return torch.cat([self.past_BPK, now], dim=1)


def _features(read_BTD: Tensor, mask: Tensor | None) -> Features:
    return {Feature.POOLED: (last_position(read_BTD, mask),), Feature.CAUSAL: (read_BTD,)}


def _sizes(config: GPTConfig, shape: Mapping[str, int]) -> dict[str, Any]:
    """What the family's configuration is made from. Windows that attention may not look beyond are not modelled."""
    window = config.options.get("sliding_window")
    if window is not None and config.options.get("use_sliding_window", True) and window < shape["length"]:
        message = f"a {config.family} that looks back only {window} tokens cannot read {shape['length']}"
        raise SpecError(message, hint=f"Fix the text encoder's length to {window}.")
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
    more = {"intermediate_size": 4 * config.width, "num_key_value_heads": config.heads, "ffn_dim": 4 * config.width}
    absent = dict.fromkeys(("sliding_window", "pad_token_id", "bos_token_id", "eos_token_id"))
    return {**more, **sizes, **dropout, **absent}
