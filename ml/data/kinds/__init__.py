"""Kinds: what the values of a canonical column are."""

from typing import Any

from ml.data.kinds.base import Kind
from ml.registry import Registry

KINDS: Registry[Kind[Any]] = Registry("ml.data.kinds", Kind)  # type: ignore[type-abstract]
