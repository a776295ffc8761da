"""Tunings: which weights move."""

from ml.learning.tuning.base import Tuning
from ml.registry import Registry

TUNINGS: Registry[Tuning] = Registry("ml.learning.tuning", Tuning)  # type: ignore[type-abstract]
