"""Objectives: what one training step makes smaller."""

from ml.learning.objectives.base import Objective
from ml.registry import Registry

OBJECTIVES: Registry[Objective] = Registry("ml.learning.objectives", Objective)  # type: ignore[type-abstract]
