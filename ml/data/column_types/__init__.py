"""Column types: what the values of a canonical column are."""

from typing import Any

from ml.data.column_types.base import ColumnType
from ml.registry import Registry

COLUMN_TYPES: Registry[ColumnType[Any]] = Registry("ml.data.column_types", ColumnType)  # type: ignore[type-abstract]
