"""Stores the figures of a benchmark in `benchmarks/history.jsonl`, when it runs with `--record`.

A benchmark parses its command line with `parse_args(parser)` and passes each figure to `figure(...)`. That does
nothing without `--record`. `python -m benchmarks.report` writes the page of the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
HISTORY: Final = Path(__file__).with_name("history.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One figure of one run of a benchmark."""

    #: Abbreviated commit of the code that was measured; `+` at its end: with changes that are not committed.
    commit: str
    #: Day of the measurement, ISO 8601.
    date: str
    #: Processor, number of usable cores, system.
    machine: str
    #: Module name below `benchmarks`.
    benchmark: str
    figure: str
    unit: str
    #: Median of `n` repetitions, or the one value.
    median: float
    #: Range of the repetitions, or a confidence interval where the benchmark computes one. None for a single value.
    interval: tuple[float, float] | None
    n: int
    #: The limit that the figure should meet, such as `<= 1.5`; empty if there is none.
    aim: str
    #: The command that repeats it.
    command: str
    note: str = ""

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        """Read one line of the history."""
        fields = json.loads(line)
        interval = fields.pop("interval")
        return cls(**fields, interval=None if interval is None else (interval[0], interval[1]))

    def to_json(self) -> str:
        """Write one line of the history."""
        return json.dumps(asdict(self), ensure_ascii=False)


class _Recorder:
    """The file that figures are appended to; None until `--record` is parsed."""

    def __init__(self) -> None:
        self.path: Path | None = None


_recorder: Final = _Recorder()


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line of a benchmark with the option `--record` added."""
    parser.add_argument(
        "--record",
        nargs="?",
        type=Path,
        const=HISTORY,
        metavar="FILE",
        help="append the figures to benchmarks/history.jsonl, or to FILE",
    )
    arguments = parser.parse_args()
    _recorder.path = arguments.record
    return arguments


def figure(
    name: str,
    values: float | Sequence[float],
    *,
    unit: str,
    aim: str = "",
    interval: tuple[float, float] | None = None,
    note: str = "",
) -> None:
    """Append one figure to the history, if the benchmark runs with `--record`.

    `values` are repetitions, whose median and range are stored, or one value.
    """
    if _recorder.path is None:
        return
    repetitions = [values] if isinstance(values, int | float) else list(values)
    spread = (min(repetitions), max(repetitions)) if len(repetitions) > 1 else None
    measurement = Measurement(
        commit=_commit(),
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(),
        benchmark=_module(),
        figure=name,
        unit=unit,
        median=_round(median(repetitions)),
        interval=_rounded_pair(interval or spread),
        n=len(repetitions),
        aim=aim,
        command=_command(),
        note=note,
    )
    with _recorder.path.open("a", encoding="utf-8") as file:
        file.write(measurement.to_json() + "\n")


def figure_in_words(name: str, text: str, *, aim: str = "", note: str = "") -> None:
    """Append a figure that is written as text, such as `8,746/CPU-s`.

    A text without a number at its start is skipped.
    """
    match = re.match(r"\s*([+-]?[\d,]*\.?\d+)\s*(.*)", text)
    if match:
        figure(name, float(match[1].replace(",", "")), unit=match[2], aim=aim, note=note)


def load(path: Path = HISTORY) -> list[Measurement]:
    """Read the history, oldest first."""
    return [Measurement.from_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@cache
def machine() -> str:
    """Name the processor, the usable cores and the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}"


@cache
def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/history.jsonl", ":!docs")
    return git("rev-parse", "--short=7", "HEAD") + ("+" if changed else "")


def _module() -> str:
    spec: Any = sys.modules["__main__"].__spec__
    return str(spec.name).removeprefix("benchmarks.").removesuffix(".__main__") if spec else "unknown"


def _command() -> str:
    arguments = []
    skip = False
    for argument in sys.argv[1:]:
        if argument == "--record":
            skip = True
        elif not (skip and argument == str(_recorder.path)):
            arguments.append(argument)
            skip = False
    return shlex.join(["python", "-m", f"benchmarks.{_module()}", *arguments])


def _round(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


def _rounded_pair(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if pair is None else (_round(pair[0]), _round(pair[1]))
