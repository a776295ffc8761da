"""Encoders: raw value <-> array."""

from ml.encoders.base import Encoder
from ml.registry import Registry

ENCODERS: Registry[Encoder] = Registry("ml.encoders", Encoder)  # type: ignore[type-abstract]
