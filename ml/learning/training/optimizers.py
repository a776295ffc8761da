"""How fast weights move: the optimizer, and its learning rate as a closed form of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from torch import optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch.nn import Parameter

    from ml.schedule import Schedule

T = TypeVar("T")

# Smith & Topin 2017 (arXiv:1708.07120), with the constants of torch.optim.lr_scheduler.OneCycleLR.
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 10_000


@dataclass(frozen=True, slots=True)
class ParameterGroupOptions:
    """How a weight moves beside the others."""

    rate: float = 1.0
    """Times the learning rate of the schedule."""
    unfreeze_at: float = 0.0
    """Share of all steps after which it begins to move."""


USUAL: Final = ParameterGroupOptions()


def parameter_groups(
    parameters: Iterable[Parameter], group_options: Mapping[Parameter, ParameterGroupOptions], *, steps: int
) -> list[dict[str, Any]]:
    """Parameters of one pace together, as an optimizer takes them; with the pace, and the first step of each."""
    found: dict[ParameterGroupOptions, list[Parameter]] = {}
    for parameter in parameters:
        found.setdefault(group_options.get(parameter, USUAL), []).append(parameter)
    return [
        {"params": together, "pace": pace.rate, "thaws_at": round(pace.unfreeze_at * steps)}
        for pace, together in found.items()
    ]


def make_optimizer(parameters: Iterable[Parameter] | list[dict[str, Any]], schedule: Schedule) -> optim.Optimizer:
    """The one asked for, in its fused form: one kernel a step instead of a dozen."""
    decay = schedule.weight_decay or 0.0
    rate = given(schedule.learning_rate)
    match given(schedule.optimizer):
        case "sgd":
            nesterov = bool(schedule.nesterov)
            momentum = schedule.momentum or 0.0
            return optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay, nesterov=nesterov, fused=True)
        case "adam":
            return optim.Adam(parameters, rate, weight_decay=decay, fused=True)
        case _:
            return optim.AdamW(parameters, rate, weight_decay=decay, fused=True)


def learning_rate(schedule: Schedule, *, steps: int) -> Callable[[int], float]:
    """Return the learning-rate schedule: a function from the step, counted from 0, to the rate.

    `steps` is the number of all steps.
    """
    peak = given(schedule.learning_rate)
    if schedule.decay == "one_cycle":
        share = ONE_CYCLE_RISE if schedule.warmup_fraction is None else schedule.warmup_fraction
        return lambda step: peak * _one_cycle(step, rise=share * steps - 1, end=steps - 1)
    warm = round((schedule.warmup_fraction or 0.0) * steps)
    falls = schedule.decay == "cosine"

    def rate(step: int) -> float:
        if step < warm:
            return peak * (step + 1) / (warm + 1)
        return peak * _half_cosine(1.0, 0.0, (step - warm) / max(1, steps - warm)) if falls else peak

    return rate


def given(value: T | None) -> T:
    """A field that `ml.spec.resolve` has filled; one that is still absent is our mistake."""
    if value is None:
        raise ValueError("the schedule is not resolved")
    return value


def _one_cycle(step: int, *, rise: float, end: float) -> float:
    if step <= rise:
        return _half_cosine(ONE_CYCLE_START, 1.0, step / rise if rise > 0 else 1.0)
    fall = (step - max(0.0, rise)) / max(1.0, end - max(0.0, rise))
    return _half_cosine(1.0, ONE_CYCLE_END, min(1.0, fall))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
