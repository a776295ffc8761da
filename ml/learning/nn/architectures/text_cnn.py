"""Convolutional network over words: bag of embeddings, beside the best match of each short phrase.

B batch, T time, D width, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.masking import masked_max, to_mask, zero_masked
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Deviation of new embeddings, relative to vectors of length one: a token that training hardly saw says little.
INITIAL_SCALE: Final = 0.1


class TextCNNConfig(Config):
    """Sizes of the embedding and of the convolutions."""

    width: Count = Field(128, description="Width of the embedding.")
    channels: Count = Field(16, description="Phrases that each convolution looks for.")
    kernels: tuple[Count, ...] = Field((2,), description="Length of the phrases of each convolution, in tokens.")
    token_dropout: float = Field(0.2, ge=0, lt=1, description="Fraction of tokens that training hides.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout on the pooled features.")


class TextCNN(Backbone):
    """Embeddings, and convolutions over them with ReLU.

    Pooled are the sum of the embeddings, a bag of words, divided by the root of the length, and the maximum over time
    of each channel of the convolutions. With few texts, what does not depend on the order is learned first, as by a
    linear model over words. Whole tokens are dropped, as in Iyyer et al. 2015.
    """

    name = "text_cnn"
    summary = "Convolutional network over words and short phrases; small, fast, for few texts"
    source = (
        "Kim 2014, Convolutional neural networks for sentence classification, arXiv:1408.5882; Iyyer et al. 2015, Deep "
        "unordered composition rivals syntactic methods for text classification (the bag, and dropped tokens)"
    )
    accepts = frozenset({Signal.TOKENS})
    provides = frozenset({Feature.POOLED})
    config_type = TextCNNConfig
    recipe = Schedule(
        epochs=8,
        batch_size=32,
        optimizer="adamw",
        learning_rate=5e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"vocabulary": 8192, "length": 128}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "channels": 16, "kernels": (2,)},
        # Words alone: for titles and other short texts, of which every step reads thousands.
        "bag": {"width": 64, "channels": 1, "kernels": (), "dropout": 0.2},
        "medium": {"width": 256, "channels": 128, "kernels": (2, 3, 4)},
    }

    def __init__(self, config: TextCNNConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.table = nn.Embedding(shape["vocabulary"], config.width)
        nn.init.normal_(self.table.weight, std=INITIAL_SCALE * config.width**-0.5)
        self.convolutions = nn.ModuleList(nn.Conv1d(config.width, config.channels, size) for size in config.kernels)
        for convolution in self.convolutions:
            # Embeddings are small at first: a random bias alone would decide which channels are ever active.
            nn.init.zeros_(convolution.get_parameter("bias"))
        self.kernels = config.kernels
        self.token_dropout = config.token_dropout
        self.dropout = nn.Dropout(config.dropout)
        self.widths = Widths(shape=shape, pooled=config.width + config.channels * len(config.kernels))

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the bag and the maxima, [B, D + C kernels]."""
        mask_BT = to_mask(signal, mask)
        embedded_BTD = zero_masked(self.table(signal), mask_BT)
        if self.training:
            # Whole tokens; the sum over the text stays the same on average.
            embedded_BTD = embedded_BTD * functional.dropout(
                torch.ones_like(embedded_BTD[:, :, :1]), self.token_dropout
            )
        root_length_B1 = mask_BT.sum(dim=1, keepdim=True).clamp(min=1).to(embedded_BTD.dtype).sqrt()
        pooled = [embedded_BTD.sum(dim=1) / root_length_B1]
        for size, convolution in zip(self.kernels, self.convolutions, strict=True):
            # As long as the text: what hangs over its end reads zeros.
            padded_BDT = functional.pad(embedded_BTD.transpose(1, 2), (0, size - 1))
            pooled.append(masked_max(convolution(padded_BDT).relu().transpose(1, 2), mask_BT))
        return {Feature.POOLED: (self.dropout(torch.cat(pooled, dim=1)),)}

    def token_embedding(self) -> Tensor | None:
        """Return the token embedding."""
        return self.table.weight

    @classmethod
    def tiny(cls) -> TextCNNConfig:
        """Return two convolutions of few channels."""
        return TextCNNConfig(width=4, channels=2, kernels=(2, 3), token_dropout=0.1, dropout=0.1)
