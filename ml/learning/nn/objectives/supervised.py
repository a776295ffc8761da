"""Supervised learning from the targets of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.config import Config
from ml.learning.nn.objectives.base import Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors


class SupervisedConfig(Config):
    """No options: the head defines the loss."""


class Supervised(Objective):
    """Loss of the head of the network."""

    name = "supervised"
    summary = "Learn from labels, with the loss of the task's head"
    source = "Rosenblatt 1958"
    config_type = SupervisedConfig

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the loss and scores of the head."""
        return self.network.compute_losses(batch)
