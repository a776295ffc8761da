"""Corruptions: changes of an input that leave its meaning as it is, one file each."""

from ml.evaluation.corruptions.base import Corruption
from ml.registry import Registry

CORRUPTIONS: Registry[Corruption] = Registry(__name__, Corruption)  # type: ignore[type-abstract]
