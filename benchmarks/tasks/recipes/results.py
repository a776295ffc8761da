"""Results of trainings, one line of JSON each, and what they say together."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Final

import numpy as np

#: Names of `Result.build`.
NOW: Final = "now"
BEFORE: Final = "before"
BASELINE: Final = "baseline"
DEFAULT: Final = "default"
RESAMPLES: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One training of one case, or its simple model."""

    case: str
    modality: str
    #: `now`, `before` or `baseline`.
    build: str
    #: Name of the changes to the default recipe.
    setting: str
    seed: int
    #: Fraction of errors on the test rows.
    error: float
    #: 95 % interval of the error over the test rows, if the report has one.
    interval: tuple[float, float] | None = None
    test_rows: int
    steps: int = 0
    epochs: int = 0
    cpu_seconds: float = 0.0
    commit: str = ""


class Results:
    """Results in a file, to which each is appended as it comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows = [Result(**json.loads(line)) for line in lines]

    def add(self, result: Result) -> None:
        """Append one result to the file."""
        self.rows.append(result)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def has(self, case: str, build: str, setting: str, seed: int) -> bool:
        """Tell whether there is a result already."""
        return any((row.case, row.build, row.setting, row.seed) == (case, build, setting, seed) for row in self.rows)

    def of(self, case: str, build: str, setting: str = DEFAULT) -> list[Result]:
        """Return the results of all seeds."""
        return [row for row in self.rows if (row.case, row.build, row.setting) == (case, build, setting)]

    def cases(self) -> list[str]:
        """Return the cases, in order."""
        return list(dict.fromkeys(row.case for row in self.rows))


def mean_error(rows: Sequence[Result]) -> float:
    """Return the mean error over seeds."""
    return mean(row.error for row in rows)


def ratio(rows: Sequence[Result], reference: Sequence[Result]) -> float:
    """Return the ratio of errors; half an error is added to both."""
    half = 0.5 / rows[0].test_rows
    return (mean_error(rows) + half) / (mean_error(reference) + half)


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(mean(math.log(value) for value in ratios))


def bootstrap(ratios: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the geometric mean over datasets."""
    logs = np.log(ratios)
    samples = np.random.default_rng(0).integers(len(logs), size=(RESAMPLES, len(logs)))
    low, high = np.exp(np.quantile(logs[samples].mean(axis=1), [0.025, 0.975]))
    return float(low), float(high)


def leave_one_out(ratios: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, float]]:
    """Choose a setting for each case on all others, and judge it on this one.

    Args:
        ratios: Setting -> case -> ratio of errors to those of the default; all settings have the same cases.

    Returns: Case -> chosen setting, and its ratio on the case.
    """
    cases = list(next(iter(ratios.values())))
    chosen = {}
    for case in cases:
        others = [name for name in cases if name != case]
        best = min(ratios, key=lambda setting: geometric_mean([ratios[setting][name] for name in others]))
        chosen[case] = best, ratios[best][case]
    return chosen


def by_modality(results: Results, cases: Iterable[str]) -> dict[str, list[str]]:
    """Group cases by modality."""
    modality = {row.case: row.modality for row in results.rows}
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(modality[case], []).append(case)
    return groups
