"""Tree-structured Parzen estimator: proposes near good trials and away from bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml.config import Config
from ml.search.strategies.base import Strategy

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class TPEConfig(Config):
    """Options of the estimator."""

    startup_trials: int = Field(
        5, ge=1, le=100, description="Trials that are drawn at random before the model is used."
    )


class TPE(Strategy):
    """Density of good settings divided by that of bad ones, over all dimensions at once."""

    name = "tpe"
    summary = "Learns from the trials so far where good settings are. The default."
    source = "Bergstra et al. 2011; multivariate as in Falkner et al. 2018"
    config_type = TPEConfig

    def sampler(self, seed: int) -> BaseSampler:
        """Make Optuna's TPE sampler, which counts running trials as bad, so that parallel ones differ."""
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, n_startup_trials=self.config.startup_trials, multivariate=True, constant_liar=True)
