"""Optuna's study, rebuilt in memory from the trials each time: nothing of Optuna is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.search.schema import SearchRange
from ml.search.strategies import STRATEGIES
from ml.search.trial import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from ml.config import Choice
    from ml.search.schema import Dimension, Space
    from ml.search.trial import Trial


def propose(
    strategy: Choice, space: Space, trials: Sequence[Trial], *, seed: int, number: int, higher_is_better: bool
) -> dict[str, Any]:
    """Propose the settings of trial `number`, by path.

    The same seed, number and trials give the same settings. The seed of Optuna's sampler is drawn from seed and
    number: with one seed for all, a sampler that is made anew would repeat its first proposal.
    """
    import optuna

    # Optuna logs each study at the level of information.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    strategy_type = STRATEGIES[strategy.name]
    sampler_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    sampler = strategy_type(strategy_type.config_type.model_validate(strategy.config)).sampler(sampler_seed)
    study = optuna.create_study(direction="maximize" if higher_is_better else "minimize", sampler=sampler)
    distributions = distributions_of(space)
    for trial in trials:
        if trial.parameters is not None:
            study.add_trial(_to_frozen(trial, space, distributions))
    values = study.ask(distributions).params
    return {path: decode(dimension, values[path]) for path, dimension in space.items()}


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each dimension."""
    return {path: _distribution(dimension) for path, dimension in space.items()}


def encode(dimension: Dimension, value: Any) -> Any:
    """Convert a setting to Optuna's value: a number, or an index in a list.

    Values of a list may be any JSON, which Optuna's categories may not.
    """
    if isinstance(dimension, SearchRange):
        return value
    return [json.dumps(choice, sort_keys=True) for choice in dimension].index(json.dumps(value, sort_keys=True))


def decode(dimension: Dimension, value: Any) -> Any:
    """Convert Optuna's value to a setting."""
    return value if isinstance(dimension, SearchRange) else dimension[value]


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(dimension, SearchRange):
        return CategoricalDistribution(tuple(range(len(dimension))))
    low, high, log = dimension.low, dimension.high, dimension.log
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _to_frozen(trial: Trial, space: Space, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {
        Outcome.RUNNING: TrialState.RUNNING,
        Outcome.COMPLETE: TrialState.COMPLETE,
        Outcome.PRUNED: TrialState.PRUNED,
        Outcome.FAILED: TrialState.FAIL,
    }
    parameters: Mapping[str, Any] = trial.parameters or {}
    is_complete = trial.outcome is Outcome.COMPLETE and trial.value is not None
    return create_trial(
        state=TrialState.FAIL if trial.outcome is Outcome.COMPLETE and not is_complete else states[trial.outcome],
        params={path: encode(dimension, parameters[path]) for path, dimension in space.items()},
        distributions=distributions,
        value=trial.value if is_complete else None,
        intermediate_values=dict(enumerate(trial.rungs, start=1)),
    )
