"""Training objectives, which compute the loss of a batch."""

from ml.learning.nn.objectives.base import Objective
from ml.registry import Registry

OBJECTIVES: Registry[Objective] = Registry("ml.learning.nn.objectives", Objective)  # type: ignore[type-abstract]
