"""Fused regression head: one number for each row, from several parts.

Some parts may be missing.

B batch, S slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads._losses import LOSSES, RegressionLoss
from ml.learning.nn.heads._parts import Fusion, Parts, Width, add_part_losses
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


class FusedRegressionConfig(Config):
    """Options of the fused regression head."""

    loss: RegressionLoss = "mse"
    dropout: float = Field(0.0, ge=0, lt=1)
    fusion: Fusion = "gated_sum"
    width: Width = 128


class FusedRegression(Head):
    """Linear layer over the joined features of the slots that a row has.

    The task normalizes the target. The same layer over the features of each part alone says what joining them brings.
    """

    name = "fused_regression"
    summary = "One number, from the features of several parts, of which some may be missing"
    needs = frozenset({Feature.POOLED})
    config_type = FusedRegressionConfig
    outputs = ("prediction", "part_predictions")
    scores = ("mean_absolute_error",)

    def __init__(self, config: FusedRegressionConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self._loss = LOSSES[config.loss]
        self.parts = Parts(config.fusion, widths=widths, width=config.width, dropout=config.dropout)
        self.linear = nn.Linear(config.width, 1)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `prediction` [B], and `part_predictions` [B, S] of each part alone.

        They are in standard deviations of the target from its mean.
        """
        joined_BW, alone_BSW, present_BS = self.parts(features, batch)
        alone_BS = self.linear(alone_BSW).squeeze(2)
        outputs = {"prediction": self.linear(joined_BW).squeeze(1), "part_predictions": alone_BS}
        return {**outputs, "present": present_BS} if self.training else outputs

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the error against `normalized_value`, float32 [B], in training with that of each part alone."""
        prediction, target = outputs["prediction"].float(), batch["normalized_value"]
        if "present" not in outputs:
            return self._loss(prediction, target)
        alone_BS = outputs["part_predictions"].float()
        return add_part_losses(prediction, alone_BS, outputs["present"], target, self._loss)

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean absolute error, in standard deviations of the target."""
        return {"mean_absolute_error": functional.l1_loss(outputs["prediction"].float(), batch["normalized_value"])}
