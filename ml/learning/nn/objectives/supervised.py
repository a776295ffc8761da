"""Learn from targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.config import Config
from ml.learning.nn.objectives.base import Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors


class SupervisedConfig(Config):
    """Nothing to choose: the head knows its loss."""


class Supervised(Objective):
    """The loss of the network's own head."""

    name = "supervised"
    summary = "Learn from labels; the task's head says what a mistake costs"
    source = "Rosenblatt 1958"
    config_type = SupervisedConfig

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Loss and scores of the head."""
        return self.network.losses(batch)
