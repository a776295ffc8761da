"""Sweeps from options of the command line: `--trials 16 --search schedule.learning_rate=1e-4..1e-2`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTION = "--search"
#: A range of positive numbers is logarithmic from this ratio of its ends.
LOG_RATIO = 10


def make_sweep(job: Mapping[str, Any], *, trials: int | None, search: Sequence[str]) -> dict[str, Any]:
    """Return the spec of a sweep over a fine-tuning.

    Without `search`, the space is that of the recipe.
    """
    if job["kind"] != "finetune":
        raise typer.BadParameter("a search is one of a fine-tuning; leave --objective out", param_hint="--trials")
    space = dict(parse_dimension(text) for text in search)
    budget = {"budget": {"trials": trials}} if trials is not None else {}
    return {"kind": "sweep", "job": dict(job), "space": space or "auto", **budget}


def parse_dimension(text: str) -> tuple[str, Any]:
    """Parse `path=low..high`, `path=value,value` or `path=JSON`."""
    path, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not path or not values:
        raise typer.BadParameter(
            f"{text!r} is not PATH=VALUES; write schedule.learning_rate=1e-4..1e-2 or architecture=cnn,resnet",
            param_hint=OPTION,
        )
    if values[0] in "[{":
        return path, _parse_json(values)
    low, is_range, high = values.partition("..")
    if is_range:
        return path, _parse_range(low, high)
    return path, [_parse_value(value.strip()) for value in values.split(",")]


def _parse_range(low_text: str, high_text: str) -> dict[str, Any]:
    low, high = _parse_value(low_text), _parse_value(high_text)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise typer.BadParameter(
            f"{low_text}..{high_text} is not a range of numbers; write 1e-4..1e-2", param_hint=OPTION
        )
    return {"low": low, "high": high, "log": low > 0 and high >= LOG_RATIO * low}


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON ({error}); quote all of it for the shell", param_hint=OPTION) from None


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
