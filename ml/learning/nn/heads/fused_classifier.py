"""Fused classification head: one logit per class, from several parts.

Some parts may be missing.

B batch, S slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ml.config import Config
from ml.learning.nn.heads._losses import ClassWeights, Loss, class_loss
from ml.learning.nn.heads._parts import Fusion, Parts, Width, add_part_losses
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


class FusedClassifierConfig(Config):
    """Options of the fused classification head. The number of classes comes from the data."""

    classes: int = Field(ge=1)
    loss: Loss = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    fusion: Fusion = "gated_sum"
    width: Width = 128
    class_weights: ClassWeights = None


class FusedClassifier(Head):
    """Linear layer over the joined features of the slots that a row has.

    The same layer over the features of each part alone says what joining them brings.
    """

    name = "fused_classifier"
    summary = "One score per class, from the features of several parts, of which some may be missing"
    needs = frozenset({Feature.POOLED})
    config_type = FusedClassifierConfig
    outputs = ("logits", "part_logits")
    scores = ("accuracy",)
    chooses = True
    label_dimensions: ClassVar[Mapping[str, int]] = {"linear.weight": 0, "linear.bias": 0}

    def __init__(self, config: FusedClassifierConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self.config = config
        self.parts = Parts(config.fusion, widths=widths, width=config.width, dropout=config.dropout)
        self.linear = nn.Linear(config.width, config.classes)
        self.class_weights: Tensor | None
        weights = torch.tensor(config.class_weights) if config.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `logits` [B, classes], and `part_logits` [B, S, classes] of each part alone."""
        joined_BW, alone_BSW, present_BS = self.parts(features, batch)
        outputs = {"logits": self.linear(joined_BW), "part_logits": self.linear(alone_BSW)}
        return {**outputs, "present": present_BS} if self.training else outputs

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss against `label`, int64 [B], in training with that of each part alone."""
        if "present" not in outputs:
            return self._class_loss(outputs["logits"], batch["label"])
        alone, present_BS = outputs["part_logits"], outputs["present"]
        return add_part_losses(outputs["logits"], alone, present_BS, batch["label"], self._class_loss)

    def _class_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        config = self.config
        return class_loss(
            logits.float(),
            label,
            loss=config.loss,
            smoothing=config.label_smoothing,
            class_weights=self.class_weights,
        )

    def choice_logits(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each row."""
        return outputs["logits"]

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the fraction of rows whose largest logit is that of the target class."""
        return {"accuracy": (outputs["logits"].argmax(dim=1) == batch["label"]).float().mean()}
