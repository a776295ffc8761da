"""Formats: readers of common dataset layouts that yield canonical rows."""

from ml.data.formats.base import Format
from ml.registry import Registry

FORMATS: Registry[Format] = Registry("ml.data.formats", Format)  # type: ignore[type-abstract]  # a registry only holds subclasses
