"""Cross checks: requirements between several columns that are valid by themselves."""

from ml.data.cross_checks.base import CrossCheck
from ml.registry import Registry

CROSS_CHECKS: Registry[CrossCheck] = Registry("ml.data.cross_checks", CrossCheck)
