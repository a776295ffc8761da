"""MLP over embeddings of numbers and categories.

B batch, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.record_embedding import VALUES_PER_NUMBER, RecordEmbedding
from ml.schedule import EarlyStopping, Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping


class TabularMLPConfig(Config):
    """Sizes of the network and of the embeddings."""

    width: Count = Field(128, description="Width of the layers and of the features.")
    layers: Count = Field(2, description="Number of layers.")
    embedding_width: Count = Field(16, description="Width of the embedding of one number or category.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before each layer.")


class TabularMLP(Backbone):
    """MLP over the embedded columns, plus a linear layer beside it.

    The linear layer reads the normalized numbers.
    """

    name = "tabular_mlp"
    summary = "Small network for tables of measurements: piecewise linear embeddings of numbers, and an MLP"
    source = (
        "Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep Learning, arXiv:2203.05556; "
        "Cheng et al. 2016, Wide & Deep Learning, arXiv:1606.07792 (the linear layer beside the network)"
    )
    accepts = frozenset({Signal.RECORD})
    provides = frozenset({Feature.POOLED})
    config_type = TabularMLPConfig
    recipe = Schedule(
        epochs=60,
        min_steps=1500,
        batch_size=256,
        min_batches_per_epoch=16,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        decay="cosine",
        warmup_fraction=0.05,
        gradient_clip_norm=1.0,
        early_stopping=EarlyStopping(patience=12),
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"numbers": 8, "quantile_bins": 16, "categorical": 4, "categories": 40}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"width": 128, "layers": 2},
        "medium": {"width": 384, "layers": 3, "embedding_width": 24},
    }

    def __init__(self, config: TabularMLPConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.embedding = RecordEmbedding(shape, width=config.embedding_width)
        self.normalized = VALUES_PER_NUMBER * shape["numbers"]
        widths = [self.embedding.width, *[config.width] * config.layers]
        self.layers = nn.Sequential(
            *(
                layer
                for inputs, outputs in pairwise(widths)
                for layer in (nn.Dropout(config.dropout), nn.Linear(inputs, outputs), nn.ReLU())
            )
        )
        self.linear = nn.Linear(shape["numbers"], config.width, bias=False) if shape["numbers"] else None
        self.widths = Widths(shape=shape, pooled=config.width)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the pooled feature [B, D] of float32 [B, 3 N + C]."""
        pooled_BD = self.layers(self.embedding(signal))
        if self.linear is not None:
            pooled_BD = pooled_BD + self.linear(signal[:, 0 : self.normalized : VALUES_PER_NUMBER])
        return {Feature.POOLED: (pooled_BD,)}

    @classmethod
    def tiny(cls) -> TabularMLPConfig:
        """Return two narrow layers."""
        return TabularMLPConfig(width=8, layers=2, embedding_width=2, dropout=0.1)
