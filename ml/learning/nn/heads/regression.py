"""Regression head: one number for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads._losses import LOSSES, RegressionLoss
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


class RegressionConfig(Config):
    """Options of the regression head."""

    loss: RegressionLoss = "mse"
    dropout: float = Field(0.0, ge=0, lt=1)


class Regression(Head):
    """Linear layer over the pooled features of all slots.

    The task normalizes the target.
    """

    name = "regression"
    summary = "One number, from pooled features"
    needs = frozenset({Feature.POOLED})
    config_type = RegressionConfig
    outputs = ("prediction",)
    scores = ("mean_absolute_error",)

    def __init__(self, config: RegressionConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self._loss = LOSSES[config.loss]
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(sum(backbone.pooled for backbone in widths.values()), 1)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `prediction` [B], in standard deviations of the target from its mean."""
        pooled_BD = torch.cat([slot_features[Feature.POOLED][0] for slot_features in features.values()], dim=1)
        return {"prediction": self.linear(self.dropout(pooled_BD)).squeeze(1)}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the squared or Huber error against `normalized_value`, float32 [B]."""
        return self._loss(outputs["prediction"].float(), batch["normalized_value"])

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean absolute error, in standard deviations of the target."""
        return {"mean_absolute_error": functional.l1_loss(outputs["prediction"].float(), batch["normalized_value"])}
