"""Writes a sequence of its own about a sequence that was read, one token after the other.

B batch, S source tokens, T target tokens, K beams, P tokens before, L layers, V vocabulary, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
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

SMALLEST_ATTENTION = 32
"""A head of attention is at least so wide, where nobody says how many there are."""


class DecoderConfig(Config):
    """`vocabulary` comes from the data; the rest is the user's."""

    vocabulary: int = Field(0, ge=0)
    """Tokens that can be written; 0 for those that are read, and then one table serves reading and writing."""
    layers: Count = 2
    heads: int = Field(0, ge=0, le=1024)
    """Of attention; 0: one for each 64 numbers of the width, or for 32 where there would be fewer than four."""
    feedforward: int = Field(0, ge=0, le=65_536)
    """Width of the dense layer within; 0: four times the width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)


class Decoder(OutputEmbedding, Head):
    """A Transformer decoder with attention to the source (Vaswani et al. 2017, arXiv:1706.03762).

    Targets stand under `target`, int64 [B, T + 1] from their start to their end, `target_mask` true where real. What is
    read and what is written share a table with the projection back to tokens (section 3.4) where they share tokens.
    """

    name = "decoder"
    summary = "Writes tokens one by one, attending to all that was read"
    needs = frozenset({Feature.SEQUENCE})
    config_type = DecoderConfig
    outputs = ("memory", "log_probabilities", "entry")
    scores = ("accuracy",)
    chooses = True

    def __init__(self, config: DecoderConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()  # one sequence is read, one is written
        self.config = config
        self.width = read.sequence
        heads = config.heads or _heads(self.width)
        feedforward = config.feedforward or 4 * self.width
        self.layers = nn.ModuleList(
            DecoderLayer(self.width, heads=heads, feedforward=feedforward, dropout=config.dropout)
            for _ in range(config.layers)
        )
        # Of all layers at once: keys and values of the source.
        self.source = nn.Linear(self.width, config.layers * 2 * self.width)
        self.normalise = nn.LayerNorm(self.width)
        self.dropout = nn.Dropout(config.dropout)
        self.write_with(config.vocabulary, slot=self.slot, width=self.width, read=read.shape.get("vocabulary", 0))

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`hidden` [B, T, D]: what there is to know of the token that follows each of the target but the last."""
        target = batch["target"][:, :-1]
        memory = self.source(features[self.slot][Feature.SEQUENCE][0]).chunk(len(self._stack), dim=-1)
        places = torch.arange(target.shape[1], device=target.device)
        later = attention.hidden(places[None, None, None, :] <= places[:, None])
        hidden = self._embedded(target, places)
        for layer, source in zip(self._stack, memory, strict=True):
            hidden = layer(hidden, source, later, self._padding(batch))
        return {"hidden": self.normalise(hidden)}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy in nats a token, padding left out."""
        hidden, wanted = self._counted(outputs, batch)
        return smoothed_cross_entropy(hidden, self.table(), wanted, smoothing=self.config.label_smoothing)

    def choices(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """A token each."""
        return functional.linear(self._counted(outputs, batch)[0], self.table())

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Share of tokens that were the most probable, given the right ones before."""
        hidden, wanted = self._counted(outputs, batch)
        return {"accuracy": (most_probable(hidden, self.table()) == wanted).float().mean()}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """What the batch allows: to begin with, or one more token.

        From the source: `memory` [B, S, L 2 D], all that the next has to know of it. From `memory`, the source's mask,
        `token` int64 [B, K] and `past` [B, K, P, L 2 D] (P of 0 to begin with): `log_probabilities` [B, K, V] of the
        next token, and `entry` [B, K, L 2 D], which then joins `past`.
        """
        if "token" not in batch:
            return {"memory": self.source(features[self.slot][Feature.SEQUENCE][0])}
        token, past = batch["token"], batch["past"]
        count = len(self._stack)
        place = torch.arange(past.shape[2] + 1, device=token.device)[-1:]
        hidden, entries = self._embedded(token, place), []
        pieces = zip(self._stack, past.chunk(count, dim=-1), batch["memory"].chunk(count, dim=-1), strict=True)
        for layer, before, source in pieces:
            hidden, entry = layer.step(hidden, before, source, self._padding(batch))
            entries.append(entry)
        odds = functional.log_softmax(functional.linear(self.normalise(hidden), self.table()), dim=-1)
        return {"log_probabilities": odds, "entry": torch.cat(entries, dim=-1)}

    @property
    def _stack(self) -> list[DecoderLayer]:
        return [cast("DecoderLayer", layer) for layer in self.layers]

    def _embedded(self, tokens: Tensor, places: Tensor) -> Tensor:
        scaled = functional.embedding(tokens, self.table()) * self.width**0.5
        embedded: Tensor = self.dropout(scaled + sinusoids(places, self.width))
        return embedded

    def _padding(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        mask = batch.get(f"{self.slot}_mask")
        return None if mask is None else attention.hidden(attention.attention_mask(mask))

    def _counted(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What is known of each place that is no padding, [N, D], and the token that stands there."""
        real = batch["target_mask"][:, 1:]
        return outputs["hidden"][real], batch["target"][:, 1:][real]


def _heads(width: int) -> int:
    wide = 2 * SMALLEST_ATTENTION
    heads = width // wide if width >= 4 * wide else width // SMALLEST_ATTENTION
    return next(count for count in range(max(1, heads), 0, -1) if width % count == 0)
