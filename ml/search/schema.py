"""Specs of sweeps: a fine-tuning whose settings are searched for."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from ml.config import Choice, Config, Named
from ml.search.halving import Halving
from ml.spec.schema import Finetune

MAX_TRIALS: Final = 1_000
MAX_CHOICES: Final = 50
MAX_DIMENSIONS: Final = 20
DEFAULT_TRIALS: Final = 16


class SearchRange(Config):
    """Numbers from `low` to `high`, both included.

    They are whole numbers if both ends are and the setting is one.
    """

    low: int | float
    high: int | float
    log: bool = Field(False, description="Propose on a logarithmic scale: as many values below 0.01 as above.")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range must start above 0, not at {self.low}")
        return self


#: A range of numbers, or the list of values to choose from.
Dimension = SearchRange | Annotated[list[Any], Field(min_length=1, max_length=MAX_CHOICES)]
Space = dict[str, Dimension]


class Budget(Config):
    """Limits of a sweep; it ends with the first that is reached."""

    trials: int | None = Field(None, ge=1, le=MAX_TRIALS, description="Number of trials, the default recipe included.")
    seconds: float | None = Field(None, gt=0, description="Time since the sweep started.")
    cpu_seconds: float | None = Field(None, gt=0, description="CPU time of all trials together.")

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.trials is None and self.seconds is None and self.cpu_seconds is None:
            raise ValueError("the budget has no limit; set trials, seconds or cpu_seconds")
        return self

    @property
    def max_trials(self) -> int:
        """Number of trials that are never exceeded."""
        return self.trials or MAX_TRIALS


class Sweep(Config):
    """Search for the settings of a fine-tuning that are best on the validation split.

    The first trial is the fine-tuning as it is. The best trial is evaluated once on the test split and registered.
    """

    kind: Literal["sweep"]
    job: Finetune = Field(description="The fine-tuning; settings that are not searched for stay as they are.")
    space: Literal["auto"] | Annotated[Space, Field(min_length=1, max_length=MAX_DIMENSIONS)] = Field(
        "auto",
        description=(
            'Settings to search for, by path in `job`: `{"schedule.learning_rate": {"low": 1e-4, "high": 1e-2, "log": '
            'true}, "architecture": ["cnn", "resnet"]}`. `auto` searches around the recipe of the job.'
        ),
    )
    strategy: Named = Field(Choice(name="tpe"), description="How the settings of the next trial are proposed.")
    metric: str | None = Field(
        None,
        max_length=100,
        description="Metric of the validation split; default: the accuracy of the task, or `validation/loss`.",
    )
    budget: Budget = Budget(trials=DEFAULT_TRIALS)
    halving: Halving | bool = Field(
        True, description="Successive halving, which ends weak trials early; false runs every trial to its end."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the proposals. The trials have the seed of the job.")
