"""Drift detection by sequential tests, one a file."""

from ml.drift.base import DriftTest
from ml.registry import Registry

DRIFT_TESTS: Registry[DriftTest] = Registry("ml.drift", DriftTest)  # type: ignore[type-abstract]
