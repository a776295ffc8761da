"""Base class of strategies: which of Optuna's samplers proposes, and with which options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ml.config import Config


class Strategy(ABC):
    """Strategy of a sweep.

    A file imports Optuna only in `sampler`, as the catalog lists strategies without it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    config_type: ClassVar[type[Config]]

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config

    @abstractmethod
    def sampler(self, seed: int) -> BaseSampler:
        """Make the sampler of one proposal. Two trials never have the same seed."""
