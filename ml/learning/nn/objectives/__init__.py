"""Objectives: what one training step makes smaller."""

from ml.learning.nn.objectives.base import Objective
from ml.registry import Registry

OBJECTIVES: Registry[Objective] = Registry("ml.learning.nn.objectives", Objective)  # type: ignore[type-abstract]
