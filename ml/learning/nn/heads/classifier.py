"""One score per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


AUXILIARY_WEIGHT: Final = 0.4
"""Of the loss of an auxiliary feature, as in the release of Inception v3; in GoogLeNet, which had the first, 0.3."""


class ClassifierConfig(Config):
    """`classes` comes from the data; the rest is the user's."""

    classes: int = Field(ge=1)
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    """Mean squared error is taken between the probabilities and 0 or 1 (Brier 1950)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    hidden: Literal["none", "relu", "gelu"] = "none"
    """One layer more before the scores, as wide as what it reads, and what it is followed by."""


class Classifier(Head):
    """A linear layer over the pooled features of all slots; before it another, where the config asks for one.

    While training, one more over the auxiliary features of backbones that give some.
    """

    name = "classifier"
    summary = "One score per class, from pooled features"
    needs = frozenset({Feature.POOLED})
    config_type = ClassifierConfig
    outputs = ("logits",)
    scores = ("accuracy",)
    chooses = True

    def __init__(self, config: ClassifierConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self.config = config
        self.dropout = nn.Dropout(config.dropout)
        width = sum(each.pooled for each in widths.values())
        self.hidden = nn.Linear(width, width) if config.hidden != "none" else None
        self.linear = nn.Linear(width, config.classes)
        auxiliary = sum(each.auxiliary for each in widths.values())
        self.auxiliary = nn.Linear(auxiliary, config.classes) if auxiliary else None

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`logits` [B, classes]; `auxiliary` too where every backbone that can gives its auxiliary feature."""
        read_BD = _side_by_side(features, Feature.POOLED)
        if self.hidden is not None:
            follow = functional.relu if self.config.hidden == "relu" else functional.gelu
            read_BD = follow(self.hidden(self.dropout(read_BD)))
        outputs = {"logits": self.linear(self.dropout(read_BD))}
        if self.auxiliary is not None:
            half_way = {slot: each for slot, each in features.items() if Feature.AUXILIARY in each}
            given = sum(each[Feature.AUXILIARY][0].shape[1] for each in half_way.values())
            if given == self.auxiliary.in_features:
                outputs["auxiliary"] = self.auxiliary(self.dropout(_side_by_side(half_way, Feature.AUXILIARY)))
        return outputs

    def strip_training_only(self) -> None:
        """Without the auxiliary layer."""
        self.auxiliary = None

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Against `label`, int64 [B]."""
        loss = self._loss(outputs["logits"].float(), batch["label"])
        if "auxiliary" in outputs:
            loss = loss + AUXILIARY_WEIGHT * self._loss(outputs["auxiliary"].float(), batch["label"])
        return loss

    def _loss(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.config.loss == "cross_entropy":
            return functional.cross_entropy(logits, label, label_smoothing=self.config.label_smoothing)
        wanted = functional.one_hot(label, self.config.classes).float()
        smoothing = self.config.label_smoothing
        wanted = wanted * (1 - smoothing) + smoothing / self.config.classes
        return (logits.softmax(dim=1) - wanted).square().sum(dim=1).mean()

    def choices(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """A row each."""
        return outputs["logits"]

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Share of rows whose highest score is the right one."""
        return {"accuracy": (outputs["logits"].argmax(dim=1) == batch["label"]).float().mean()}


def _side_by_side(features: Mapping[str, Features], feature: Feature) -> Tensor:
    found = [each[feature][0] for each in features.values()]
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)
