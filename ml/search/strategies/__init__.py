"""Strategies, which propose the settings of the next trial."""

from ml.registry import Registry
from ml.search.strategies.base import Strategy

STRATEGIES: Registry[Strategy] = Registry("ml.search.strategies", Strategy)  # type: ignore[type-abstract]
