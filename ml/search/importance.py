"""Importance of each dimension: the fraction of the variance among the trials that it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from ml.search.study import distributions_of, encode
from ml.search.trial import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.search.schema import Space
    from ml.search.trial import Trial

#: With fewer trials, an importance would be noise.
MIN_TRIALS: Final = 4
METHOD: Final = "fANOVA (Hutter et al. 2014)"


class Importance(TypedDict):
    """Importance of each dimension, and how it was computed."""

    method: str
    #: Number of trials it was computed from.
    trials: int
    #: Whether their values are those of the first rung, which pruned trials have as well.
    at_first_rung: bool
    #: Path -> fraction of the explained variance; the fractions add up to 1.
    fractions: dict[str, float]


def importance(trials: Sequence[Trial], space: Space) -> Importance | None:
    """Compute importances by Optuna's fANOVA, a random forest.

    Returns None for too few trials or equal values. Where trials were pruned, all are compared by their values at the
    first rung, as only these are comparable.
    """
    at_first_rung = any(trial.outcome is Outcome.PRUNED for trial in trials)
    values = [
        (trial, trial.rungs[0] if at_first_rung and trial.rungs else trial.value)
        for trial in trials
        if trial.parameters is not None and (trial.rungs or not at_first_rung)
    ]
    rows = [(trial, value) for trial, value in values if value is not None]
    if len(rows) < MIN_TRIALS or len({value for _, value in rows}) == 1:
        return None
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = distributions_of(space)
    study = optuna.create_study()
    for trial, value in rows:
        settings = trial.parameters or {}
        parameters = {path: encode(dimension, settings[path]) for path, dimension in space.items()}
        study.add_trial(create_trial(params=parameters, distributions=distributions, value=value))
    fractions = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {
        "method": METHOD,
        "trials": len(rows),
        "at_first_rung": at_first_rung,
        "fractions": {path: round(float(fraction), 4) for path, fraction in fractions.items()},
    }
