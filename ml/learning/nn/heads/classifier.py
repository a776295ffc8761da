"""Classification head: one logit per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads._losses import ClassWeights, class_loss
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


#: Weight of the loss of an auxiliary feature, as in the release of Inception v3; GoogLeNet, which had the first, used
#: 0.3.
AUXILIARY_WEIGHT: Final = 0.4


class ClassifierConfig(Config):
    """Options of the classification head. The number of classes comes from the data."""

    classes: int = Field(ge=1)
    loss: Literal["cross_entropy", "mean_squared_error"] = Field(
        "cross_entropy", description="Mean squared error is that of the probabilities against 0 or 1 (Brier 1950)."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    hidden: Literal["none", "relu", "gelu"] = Field(
        "none",
        description="Activation of a hidden layer of the same width before the logits; `none` for no layer.",
    )
    class_weights: ClassWeights = None


class Classifier(Head):
    """Linear layer over the pooled features of all slots, optionally after a hidden layer.

    In training, a second linear layer reads the auxiliary features of backbones that provide them.
    """

    name = "classifier"
    summary = "One score per class, from pooled features"
    needs = frozenset({Feature.POOLED})
    config_type = ClassifierConfig
    outputs = ("logits",)
    scores = ("accuracy",)
    chooses = True
    label_dimensions: ClassVar[Mapping[str, int]] = {
        "linear.weight": 0,
        "linear.bias": 0,
        "auxiliary.weight": 0,
        "auxiliary.bias": 0,
    }

    def __init__(self, config: ClassifierConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self.config = config
        self.class_weights: Tensor | None
        self.dropout = nn.Dropout(config.dropout)
        width = sum(backbone.pooled for backbone in widths.values())
        self.hidden = nn.Linear(width, width) if config.hidden != "none" else None
        self.linear = nn.Linear(width, config.classes)
        auxiliary = sum(backbone.auxiliary for backbone in widths.values())
        self.auxiliary = nn.Linear(auxiliary, config.classes) if auxiliary else None
        weights = torch.tensor(config.class_weights) if config.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `logits` [B, classes].

        If all auxiliary features are present, `auxiliary` has the logits of the auxiliary layer, too.
        """
        pooled_BD = _concatenate(features, Feature.POOLED)
        if self.hidden is not None:
            activation = functional.relu if self.config.hidden == "relu" else functional.gelu
            pooled_BD = activation(self.hidden(self.dropout(pooled_BD)))
        outputs = {"logits": self.linear(self.dropout(pooled_BD))}
        if self.auxiliary is not None:
            auxiliary = {slot: tensors for slot, tensors in features.items() if Feature.AUXILIARY in tensors}
            width = sum(tensors[Feature.AUXILIARY][0].shape[1] for tensors in auxiliary.values())
            if width == self.auxiliary.in_features:
                outputs["auxiliary"] = self.auxiliary(self.dropout(_concatenate(auxiliary, Feature.AUXILIARY)))
        return outputs

    def strip_training_only(self) -> None:
        """Remove the auxiliary layer."""
        self.auxiliary = None

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss against `label`, int64 [B], with the weighted loss of the auxiliary layer."""
        loss = self._class_loss(outputs["logits"].float(), batch["label"])
        if "auxiliary" in outputs:
            loss = loss + AUXILIARY_WEIGHT * self._class_loss(outputs["auxiliary"].float(), batch["label"])
        return loss

    def _class_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        config = self.config
        return class_loss(
            logits, label, loss=config.loss, smoothing=config.label_smoothing, class_weights=self.class_weights
        )

    def choice_logits(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of each row."""
        return outputs["logits"]

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the fraction of rows whose largest logit is that of the target class."""
        return {"accuracy": (outputs["logits"].argmax(dim=1) == batch["label"]).float().mean()}


def _concatenate(features: Mapping[str, Features], feature: Feature) -> Tensor:
    tensors = [slot_features[feature][0] for slot_features in features.values()]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
