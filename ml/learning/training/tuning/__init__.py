"""Tunings: which weights are trained, and how."""

from ml.learning.training.tuning.base import Tuning
from ml.registry import Registry

TUNINGS: Registry[Tuning] = Registry("ml.learning.training.tuning", Tuning)  # type: ignore[type-abstract]
