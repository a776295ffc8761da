"""Adversarial attacks: small changes of an input that raise the loss."""

from ml.learning.training.attacks.base import Attack
from ml.registry import Registry

ATTACKS: Registry[Attack] = Registry("ml.learning.training.attacks", Attack)  # type: ignore[type-abstract]
