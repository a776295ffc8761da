"""Heads, which turn features into outputs and compute their loss."""

from ml.learning.nn.heads.base import Head
from ml.registry import Registry

HEADS: Registry[Head] = Registry("ml.learning.nn.heads", Head)  # type: ignore[type-abstract]
