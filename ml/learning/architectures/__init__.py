"""Architectures: backbones, which turn one signal into features."""

from ml.learning.architectures.base import Backbone
from ml.registry import Registry

ARCHITECTURES: Registry[Backbone] = Registry("ml.learning.architectures", Backbone)  # type: ignore[type-abstract]
