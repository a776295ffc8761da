"""The transformer's encoder: every place looks at every other, however far away.

B batch, T time, D width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import embedding

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features, Widths
from ml.learning.nn.layers.attention import Activation, Layer, Norm, attention_mask, hidden
from ml.learning.nn.layers.causal_mask import causal_mask, last_position, positions
from ml.learning.nn.layers.input_embedding import InputEmbedding
from ml.learning.nn.layers.masking import mean, to_mask, zero_masked
from ml.learning.nn.layers.positional_encoding import sinusoids
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class TransformerConfig(Config):
    """Sizes as in table 3 of the paper."""

    width: Count = 128
    layers: Count = 2
    heads: Count = 4
    feed_forward: Count = 512
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: Norm = "before"
    activation: Activation = "relu"
    causal: bool = False
    """Blind to the future, as a task may ask."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError("the width must be a multiple of twice the heads")
        return self


class Transformer(Backbone):
    """Sinusoidal positions, layers of attention and feed-forward.

    Pooled is the mean over time; or the last place, which is all that has seen all, where the future is hidden.
    Without a `norm` after each part there is one at the end, as the sum has grown by then.
    """

    name = "transformer"
    summary = "Transformer encoder, small or as published; for texts and for sound"
    source = "Vaswani et al. 2017, Attention is all you need, arXiv:1706.03762"
    accepts = frozenset({Signal.TOKENS, Signal.FRAMES})
    provides = frozenset({Feature.POOLED, Feature.SEQUENCE, Feature.CAUSAL})
    config_type = TransformerConfig
    recipe = Schedule(
        epochs=8,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 37_000, "length": 512}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "layers": 2, "heads": 4, "feed_forward": 512},
        "medium": {"width": 256, "layers": 4, "heads": 4, "feed_forward": 1024},
        "base": {"width": 512, "layers": 6, "heads": 8, "feed_forward": 2048, "norm": "after"},
    }

    def __init__(self, config: TransformerConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.causal = config.causal
        self.reader = InputEmbedding(shape, config.width, causal=config.causal)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            Layer(
                config.width,
                config.heads,
                config.feed_forward,
                dropout=config.dropout,
                norm=config.norm,
                activation=config.activation,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "before" else nn.Identity()
        self.scale = math.sqrt(config.width)
        width = config.width
        self.widths = Widths(
            shape=shape,
            pooled=width,
            sequence=width,
            causal=width if config.causal else 0,
            state=2 * width * config.layers if config.causal and self.reader.table is not None else 0,
        )

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """What the last layer makes of every place; `CAUSAL` only where the config is."""
        mask_BT = to_mask(signal, mask)
        sequence_BTD = self._read(signal, mask_BT, mask_BT)
        unseen = hidden(causal_mask(mask_BT, mask_BT) if self.causal else attention_mask(mask_BT))
        for layer in self.layers:
            sequence_BTD, _ = layer(sequence_BTD, unseen)
        return self._features(self.norm(sequence_BTD), mask_BT)

    def resume(self, signal: Tensor, mask: Tensor, state: BackboneState) -> tuple[Features, BackboneState]:
        """Remembers the keys and values of every layer. Of tokens: frames are read with their neighbours."""
        known = torch.cat([state.mask, mask], dim=1)
        sequence_BTD = self._read(signal, mask, known)
        unseen = hidden(causal_mask(mask, known))
        memories = []
        for layer, past in zip(self.layers, state.memory.chunk(len(self.layers), dim=2), strict=True):
            sequence_BTD, memory = layer(sequence_BTD, unseen, past_BPE=past)
            memories.append(memory)
        return self._features(self.norm(sequence_BTD), mask), BackboneState(torch.cat(memories, dim=2), known)

    def _read(self, signal: Tensor, mask: Tensor, known: Tensor) -> Tensor:
        # Entries of the table have a length of one; scaled up, they weigh as much as positions (section 3.4).
        read_BTD = self.reader(signal, mask) * self.scale
        places_BT = positions(known)[:, known.shape[1] - mask.shape[1] :]
        waves = sinusoids(torch.arange(known.shape[1], device=known.device), read_BTD.shape[2])
        placed: Tensor = read_BTD + embedding(places_BT, waves.to(read_BTD.dtype))
        return self.dropout(placed)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def _features(self, sequence_BTD: Tensor, mask_BT: Tensor) -> Features:
        quiet_BTD = zero_masked(sequence_BTD, mask_BT)
        if self.causal:
            last_BD = last_position(sequence_BTD, mask_BT)
            return {Feature.POOLED: (last_BD,), Feature.SEQUENCE: (quiet_BTD,), Feature.CAUSAL: (quiet_BTD,)}
        return {Feature.POOLED: (mean(sequence_BTD, mask_BT),), Feature.SEQUENCE: (quiet_BTD,)}

    def table(self) -> Tensor | None:
        """What each token is read as, before it is scaled; where tokens are read."""
        return self.reader.table.weight if self.reader.table is not None else None

    @classmethod
    def adapted(cls, config: Config, needs: frozenset[Feature]) -> Config:
        """Blind to the future where that must stay unseen."""
        return config.model_copy(update={"causal": True}) if Feature.CAUSAL in needs else config

    @classmethod
    def tiny(cls) -> TransformerConfig:
        """Two layers of two heads."""
        return TransformerConfig(width=8, layers=2, heads=2, feed_forward=12)
