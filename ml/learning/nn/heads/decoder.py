"""Transformer decoder head: writes a target sequence token by token from a source sequence.

B batch, S source tokens, T target tokens, K beams, P past tokens, L layers, V vocabulary, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import reweight
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers import attention
from ml.learning.nn.layers.chunked_cross_entropy import most_probable, smoothed_cross_entropy
from ml.learning.nn.layers.output_embedding import OutputEmbedding
from ml.learning.nn.layers.positional_encoding import sinusoids
from ml.learning.nn.layers.transformer_decoder import DecoderLayer
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Minimum width of an attention head when the config does not set their number.
MIN_HEAD_WIDTH: Final = 32


class DecoderConfig(Config):
    """Sizes of the decoder. The size of the vocabulary comes from the data."""

    vocabulary: int = Field(
        0, ge=0, description="Output tokens; 0 for the input tokens, which then share one embedding with the output."
    )
    layers: Count = 2
    heads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Attention heads; 0 for one per 64 of the width, or per 32 if that gives fewer than four.",
    )
    feedforward: int = Field(
        0, ge=0, le=65_536, description="Width of the feed-forward network; 0 for four times the width."
    )
    dropout: float = Field(0.1, ge=0, lt=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)


class Decoder(OutputEmbedding, Head):
    """Transformer decoder with cross-attention to the source (Vaswani et al. 2017, arXiv:1706.03762).

    Targets are in `target`, int64 [B, T + 1], from the begin token to the end token; `target_mask` is true where they
    are real. If source and target have the same tokens, the input and output embeddings are one (section 3.4).
    """

    name = "decoder"
    summary = "Writes tokens one at a time, attending to the whole input"
    needs = frozenset({Feature.SEQUENCE})
    config_type = DecoderConfig
    outputs = ("memory", "log_probabilities", "entry")
    scores = ("accuracy",)
    chooses = True

    def __init__(self, config: DecoderConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()  # exactly one source sequence
        self.config = config
        self.width = backbone.sequence
        heads = config.heads or _default_heads(self.width)
        feedforward = config.feedforward or 4 * self.width
        self.layers = nn.ModuleList(
            DecoderLayer(self.width, heads=heads, feedforward=feedforward, dropout=config.dropout)
            for _ in range(config.layers)
        )
        # Computes keys and values of the source for all layers at once.
        self.source = nn.Linear(self.width, config.layers * 2 * self.width)
        self.normalise = nn.LayerNorm(self.width)
        self.dropout = nn.Dropout(config.dropout)
        self.init_output_embedding(
            config.vocabulary, slot=self.slot, width=self.width, input_vocabulary=backbone.shape.get("vocabulary", 0)
        )

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `hidden` [B, T, D], the last hidden states of all targets but the last."""
        target = batch["target"][:, :-1]
        memory = self.source(features[self.slot][Feature.SEQUENCE][0]).chunk(len(self._layers), dim=-1)
        positions = torch.arange(target.shape[1], device=target.device)
        causal_bias = attention.to_attention_bias(positions[None, None, None, :] <= positions[:, None])
        hidden = self._embed(target, positions)
        for layer, source in zip(self._layers, memory, strict=True):
            hidden = layer(hidden, source, causal_bias, self._padding_bias(batch))
        return {"hidden": self.normalise(hidden)}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy in nats per token, without padding."""
        hidden, target = self._select_real(outputs, batch)
        smoothing = self.config.label_smoothing
        loss = smoothed_cross_entropy(hidden, self.output_embedding(), target, smoothing=smoothing)
        return reweight(loss, len(target))

    def choice_logits(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each real token."""
        return functional.linear(self._select_real(outputs, batch)[0], self.output_embedding())

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the fraction of tokens that were the most probable after the true earlier tokens."""
        hidden, target = self._select_real(outputs, batch)
        return {"accuracy": (most_probable(hidden, self.output_embedding()) == target).float().mean()}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Encode the source, or decode one more token.

        From the features of the source it returns `memory` [B, S, L 2 D], the keys and values that decoding reads. From
        `memory`, the mask of the source, `token` int64 [B, K] and `past` [B, K, P, L 2 D] (P is 0 at the start) it
        returns `log_probabilities` [B, K, V] of the next token, and `entry` [B, K, L 2 D], to be appended to `past`.
        """
        if "token" not in batch:
            return {"memory": self.source(features[self.slot][Feature.SEQUENCE][0])}
        token, past = batch["token"], batch["past"]
        count = len(self._layers)
        position = torch.arange(past.shape[2] + 1, device=token.device)[-1:]
        hidden, entries = self._embed(token, position), []
        caches = zip(self._layers, past.chunk(count, dim=-1), batch["memory"].chunk(count, dim=-1), strict=True)
        for layer, layer_past, source in caches:
            hidden, entry = layer.step(hidden, layer_past, source, self._padding_bias(batch))
            entries.append(entry)
        logits = functional.linear(self.normalise(hidden), self.output_embedding())
        return {"log_probabilities": functional.log_softmax(logits, dim=-1), "entry": torch.cat(entries, dim=-1)}

    @property
    def _layers(self) -> list[DecoderLayer]:
        return [cast("DecoderLayer", layer) for layer in self.layers]

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        scaled = functional.embedding(tokens, self.output_embedding()) * self.width**0.5
        embedded: Tensor = self.dropout(scaled + sinusoids(positions, self.width))
        return embedded

    def _padding_bias(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        mask = batch.get(f"{self.slot}_mask")
        return None if mask is None else attention.to_attention_bias(attention.padding_mask(mask))

    def _select_real(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the hidden states [N, D] and targets [N] of all real positions."""
        mask = batch["target_mask"][:, 1:]
        return outputs["hidden"][mask], batch["target"][:, 1:][mask]


def _default_heads(width: int) -> int:
    wide = 2 * MIN_HEAD_WIDTH
    heads = width // wide if width >= 4 * wide else width // MIN_HEAD_WIDTH
    return next(count for count in range(max(1, heads), 0, -1) if width % count == 0)
