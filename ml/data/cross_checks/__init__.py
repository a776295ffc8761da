"""Relations: what columns must be to one another, where each by itself is fine."""

from ml.data.cross_checks.base import CrossCheck
from ml.registry import Registry

CROSS_CHECKS: Registry[CrossCheck] = Registry("ml.data.cross_checks", CrossCheck)  # type: ignore[type-abstract]
