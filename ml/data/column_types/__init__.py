"""Kinds: what the values of a canonical column are."""

from typing import Any

from ml.data.column_types.base import Kind
from ml.registry import Registry

KINDS: Registry[Kind[Any]] = Registry("ml.data.column_types", Kind)  # type: ignore[type-abstract]
