"""Writes `docs/benchmarks.md` from `benchmarks/history.jsonl`: the latest figures, and the ones before.

python -m benchmarks.report
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from benchmarks.record import HISTORY, REPOSITORY, Measurement, load

PAGE: Final = REPOSITORY / "docs" / "benchmarks.md"
MAX_EARLIER: Final = 4
INTRODUCTION: Final = """\
<!-- Written by `python -m benchmarks.report` from `benchmarks/history.jsonl`. -->
# Benchmarks

Every figure was measured by the command above its table, at the commit and on the machine in its row.
A benchmark stores its figures when it runs with `--record`, and `python -m benchmarks.report` writes this page.

The machines are shared with other work, so compare figures within one run. Ratios are measured in turns within one run,
and CPU seconds depend less on other work than wall time does. An interval is the range of the repetitions, or a 95 %
interval where the benchmark computes one. [Model quality](explanation/model_quality.md) has what models of each task
reach.
"""


def page(history: Sequence[Measurement]) -> str:
    """The page as Markdown: for each benchmark its latest figures, with their earlier values."""
    parts = [INTRODUCTION]
    names = dict.fromkeys(measurement.benchmark for measurement in history)
    for name in sorted(names):
        measurements = [measurement for measurement in history if measurement.benchmark == name]
        parts.append(f"## {name}\n")
        for command, rows in groupby(_by_figure(measurements), key=lambda rows: rows[-1].command):
            parts.append(f"    {command}\n")
            parts.append(_table(list(rows)))
    return "\n".join(parts)


def _by_figure(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Group measurements by figure, oldest first; figures are ordered by command."""
    figures: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        figures.setdefault(measurement.figure, []).append(measurement)
    commands = list(dict.fromkeys(rows[-1].command for rows in figures.values()))
    return sorted(figures.values(), key=lambda rows: commands.index(rows[-1].command))


def _table(figures: Sequence[Sequence[Measurement]]) -> str:
    lines = [
        "| figure | median | interval | n | aim | measured | earlier | note |",
        "|---|--:|---|--:|---|---|---|---|",
    ]
    for rows in figures:
        latest, earlier = rows[-1], rows[-2 : -2 - MAX_EARLIER : -1]
        cells = (
            latest.figure,
            f"{_number(latest.median)} {latest.unit}",
            "" if latest.interval is None else f"{_number(latest.interval[0])} to {_number(latest.interval[1])}",
            str(latest.n),
            latest.aim,
            f"{latest.date}, `{latest.commit}`, {latest.machine}",
            "; ".join(f"{_number(row.median)} (`{row.commit}`, {row.date})" for row in earlier),
            latest.note,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|').strip() for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """Thousands separated; otherwise as it was stored."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def main() -> int:
    """Write the page, or compare it with the history."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", type=Path, default=HISTORY)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if the page is out of date")
    arguments = parser.parse_args()
    text = page(load(arguments.history))
    if arguments.check:
        if arguments.page.read_text(encoding="utf-8") == text:
            return 0
        print(f"{arguments.page} is out of date. Run: python -m benchmarks.report")
        return 1
    arguments.page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
