"""Random search: every trial is drawn without regard to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.config import Config
from ml.search.strategies.base import Strategy

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class RandomConfig(Config):
    """No options."""


class Random(Strategy):
    """Uniform draws, on a logarithmic scale where the range is one."""

    name = "random"
    summary = "Draws every trial at random. A fair baseline, and best where many trials run at once."
    source = "Bergstra & Bengio 2012, JMLR 13"
    config_type = RandomConfig

    def sampler(self, seed: int) -> BaseSampler:
        """Make Optuna's random sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)
