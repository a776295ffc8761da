"""Disk space by kind: what takes it, and what can be deleted."""

from store.disk.base import DiskKind, Item
from store.disk.space import KINDS, LOCAL_KINDS, DiskUse, clean, measure, retention_days

__all__ = ["KINDS", "LOCAL_KINDS", "DiskKind", "DiskUse", "Item", "clean", "measure", "retention_days"]
