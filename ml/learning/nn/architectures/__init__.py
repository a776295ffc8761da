"""Architectures: backbones that turn one signal into features."""

from ml.learning.nn.architectures.base import Backbone
from ml.registry import Registry

ARCHITECTURES: Registry[Backbone] = Registry("ml.learning.nn.architectures", Backbone)  # type: ignore[type-abstract]
