"""Fusions, which join the features of several parts of a row."""

from typing import Final

from ml.learning.nn.fusions.base import Fusion
from ml.registry import Registry

FUSIONS: Final[Registry[Fusion]] = Registry("ml.learning.nn.fusions", Fusion)  # type: ignore[type-abstract]
