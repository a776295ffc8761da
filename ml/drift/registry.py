"""Drift tests by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ml.drift.base import DriftTest
from ml.drift.class_shares import ClassShareDrift
from ml.drift.confidence import ConfidenceDrift
from ml.drift.features import FeatureDrift

DRIFT_TESTS: Final[Mapping[str, type[DriftTest]]] = MappingProxyType(
    {test.name: test for test in (ConfidenceDrift, ClassShareDrift, FeatureDrift)}
)
