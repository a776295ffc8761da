"""Report of a sweep: its trials, or the reasons why none has a result."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypedDict

from ml.errors import SpecError
from ml.schedule import is_higher_better
from ml.search.importance import importance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.search.importance import Importance
    from ml.search.schema import Sweep
    from ml.search.trial import Trial

#: Numbers of trials that a message lists for a reason.
MAX_LISTED_TRIALS = 8


class TrialLine(TypedDict):
    """One trial in the report."""

    number: int
    job: str
    #: running, complete, pruned or failed.
    outcome: str
    parameters: dict[str, Any] | None
    #: Metric of the validation split: of a complete trial the final one, of others the best at their last rung.
    value: float | None
    cpu_seconds: float | None
    error: str | None


class SweepSection(TypedDict):
    """Trials of a sweep, and what they show."""

    metric: str | None
    higher_is_better: bool
    strategy: str
    best: int
    #: Settings of the best trial; the first trial has those of the recipe.
    parameters: dict[str, Any]
    value: float | None
    #: What the default recipe reached, on the validation split.
    default_value: float | None
    trials: list[TrialLine]
    importance: Importance | None
    cpu_seconds: float


class SweepFailed(SpecError):
    """Every trial of a sweep failed."""

    code = "every_trial_failed"


def sweep_section(
    sweep: Sweep,
    trials: Sequence[Trial],
    best: Trial,
    rows: Iterable[tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]],
) -> SweepSection:
    """Make the section.

    `rows` are the id, progress and error of the job of each trial.
    """
    lines = [_line(trial, *row) for trial, row in zip(trials, rows, strict=True)]
    default = next((trial.value for trial in trials if trial.number == 0), None)
    return {
        "metric": sweep.metric,
        "higher_is_better": is_higher_better(sweep.metric or ""),
        "strategy": sweep.strategy.name,
        "best": best.number,
        "parameters": dict(best.parameters or {}),
        "value": best.value,
        "default_value": default,
        "trials": lines,
        "importance": importance(trials, sweep.space) if isinstance(sweep.space, dict) else None,
        "cpu_seconds": round(sum(line["cpu_seconds"] or 0.0 for line in lines), 1),
    }


def _line(trial: Trial, job_id: str, progress: Mapping[str, Any] | None, error: Mapping[str, Any] | None) -> TrialLine:
    return {
        "number": trial.number,
        "job": job_id,
        "outcome": trial.outcome.value,
        "parameters": dict(trial.parameters) if trial.parameters is not None else None,
        "value": trial.value if trial.value is not None else (trial.rungs[-1] if trial.rungs else None),
        "cpu_seconds": (progress or {}).get("cpu_seconds"),
        "error": error["message"] if error else None,
    }


def failure(errors: Sequence[tuple[int, Mapping[str, Any] | None]]) -> SweepFailed:
    """Group the errors of all trials by their reason, the commonest first.

    Each error comes with the number of its trial.
    """
    numbers: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    hints: dict[str, str | None] = {}
    for number, error in errors:
        code = error["code"] if error else "cancelled"
        message = error["message"] if error else "cancelled by request"
        numbers[code, _without_digits(message)].append(number)
        hints.setdefault(code, error["hint"] if error else "Run the sweep again.")
    ordered = sorted(numbers.items(), key=lambda item: -len(item[1]))
    first_messages = {number: error["message"] if error else "cancelled by request" for number, error in errors}
    reasons = [
        f"{len(group)} by {code}: {first_messages[group[0]]} (trial {_list(group)})" for (code, _), group in ordered
    ]
    return SweepFailed(
        f"none of {len(errors)} trials has a result. {'; '.join(reasons)}",
        hint=hints[ordered[0][0][0]] if ordered else None,
    )


def _without_digits(message: str) -> str:
    """Return a message without its numbers, which differ from trial to trial."""
    return "".join(character for character in message if not character.isdigit())


def _list(numbers: Sequence[int]) -> str:
    more = len(numbers) - MAX_LISTED_TRIALS
    return ", ".join(map(str, numbers[:MAX_LISTED_TRIALS])) + (f" and {more} more" if more > 0 else "")
