"""Encoders: raw values to arrays and back."""

from typing import Any

from ml.encoders.base import Encoder
from ml.registry import Registry

ENCODERS: Registry[Encoder[Any]] = Registry("ml.encoders", Encoder)  # type: ignore[type-abstract]
