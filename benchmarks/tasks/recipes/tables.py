"""Tables of measurements, those of `benchmarks.tasks.tabular` with at most 700 rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.tasks import tabular
from benchmarks.tasks.recipes.case import Case

MAX_ROWS: Final = 700


def _write(load: Callable[[], tabular.Table], folder: Path, _: Path) -> list[Path]:
    table = load()
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([table.names, *table.rows[:MAX_ROWS]])
    return [folder / "table.csv"]


def _case(name: str) -> Case:
    load = tabular.CASES[name]
    table = load()
    target = "value" if table.task == "tabular_regression" else "label"
    options = {"columns": {target: table.names[-1]}, "splits": {**tabular.FRACTIONS, "seed": 0}}
    return Case("table", table.task, tabular.METRICS[table.task], partial(_write, load), options, True)


CASES: Final[Mapping[str, Case]] = {name: _case(name) for name in tabular.CASES}
