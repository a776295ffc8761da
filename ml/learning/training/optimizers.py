"""Optimizers, and learning-rate schedules as closed-form functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from torch import optim

from ml.learning.training.muon import IS_MATRIX, MuonWithAdamW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch.nn import Parameter

    from ml.schedule import Schedule

T = TypeVar("T")

# Smith & Topin 2017 (arXiv:1708.07120), with the constants of torch.optim.lr_scheduler.OneCycleLR.
ONE_CYCLE_RISE: Final = 0.3
ONE_CYCLE_START: Final = 1 / 25
ONE_CYCLE_END: Final = ONE_CYCLE_START / 10_000
#: Factor of the learning rate after epochs without improvement, as in torch.optim.lr_scheduler.ReduceLROnPlateau.
PLATEAU_FACTOR: Final = 0.5
#: These epochs. Fewer than early stopping waits by default: a lower rate is tried before it ends the training.
PLATEAU_PATIENCE: Final = 2


@dataclass(frozen=True, slots=True)
class ParameterGroupOptions:
    """Learning rate and start of training of a weight, relative to the schedule."""

    #: Factor on the learning rate of the schedule.
    rate_factor: float = 1.0
    #: Fraction of all steps after which the weight is trained.
    unfreeze_at: float = 0.0
    #: Whether Muon trains it, if that is the optimizer.
    is_matrix: bool = False


DEFAULT_OPTIONS: Final = ParameterGroupOptions()


def parameter_groups(
    parameters: Iterable[Parameter], group_options: Mapping[Parameter, ParameterGroupOptions], *, steps: int
) -> list[dict[str, Any]]:
    """Group parameters with equal options, as torch optimizers take them.

    Each group also holds its `rate_factor`, `unfreeze_step`, its first step in a training of `steps` steps, and whether
    it `is_matrix`.
    """
    groups: dict[ParameterGroupOptions, list[Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(group_options.get(parameter, DEFAULT_OPTIONS), []).append(parameter)
    return [
        {
            "params": members,
            "rate_factor": options.rate_factor,
            "unfreeze_step": round(options.unfreeze_at * steps),
            IS_MATRIX: options.is_matrix,
        }
        for options, members in groups.items()
    ]


def make_optimizer(parameters: Iterable[Parameter] | list[dict[str, Any]], schedule: Schedule) -> optim.Optimizer:
    """Make the optimizer of a schedule.

    It is the fused form: one kernel a step instead of a dozen.
    """
    decay = schedule.weight_decay or 0.0
    rate = require_resolved(schedule.learning_rate)
    match require_resolved(schedule.optimizer):
        case "sgd":
            nesterov = bool(schedule.nesterov)
            momentum = schedule.momentum or 0.0
            return optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay, nesterov=nesterov, fused=True)
        case "adam":
            return optim.Adam(parameters, rate, weight_decay=decay, fused=True)
        case "muon":
            groups = [group if isinstance(group, dict) else {"params": [group]} for group in parameters]
            return MuonWithAdamW(groups, rate, weight_decay=decay)
        case _:
            return optim.AdamW(parameters, rate, weight_decay=decay, fused=True)


def learning_rate(schedule: Schedule, *, steps: int) -> Callable[[int], float]:
    """Return the learning-rate schedule as a function of the step.

    Steps count from 0 to `steps` - 1.
    """
    peak = require_resolved(schedule.learning_rate)
    if schedule.decay == "one_cycle":
        fraction = ONE_CYCLE_RISE if schedule.warmup_fraction is None else schedule.warmup_fraction
        return lambda step: peak * _one_cycle(step, rise=fraction * steps - 1, end=steps - 1)
    warmup_steps = round((schedule.warmup_fraction or 0.0) * steps)
    falls = schedule.decay == "cosine"

    def rate(step: int) -> float:
        if step < warmup_steps:
            return peak * (step + 1) / (warmup_steps + 1)
        return peak * _half_cosine(1.0, 0.0, (step - warmup_steps) / max(1, steps - warmup_steps)) if falls else peak

    return rate


def require_resolved(value: T | None) -> T:
    """Return a field of a schedule that `ml.spec.resolve` has filled; raises `ValueError` otherwise."""
    if value is None:
        raise ValueError("the schedule is not resolved")
    return value


def _one_cycle(step: int, *, rise: float, end: float) -> float:
    if step <= rise:
        return _half_cosine(ONE_CYCLE_START, 1.0, step / rise if rise > 0 else 1.0)
    fall = (step - max(0.0, rise)) / max(1.0, end - max(0.0, rise))
    return _half_cosine(1.0, ONE_CYCLE_END, min(1.0, fall))


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
