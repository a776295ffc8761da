import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.record import HISTORY, Measurement, load, machine
from benchmarks.report import PAGE, page

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import argparse
from benchmarks.record import figure, figure_in_words, parse_args

arguments = parse_args(argparse.ArgumentParser())
figure("ready", [0.5, 0.7, 0.9], unit="s", aim="<= 1.5")
figure("memory", 139.123456789, unit="MB")
figure("overhead", 1.0, unit="%", interval=(0.5, 1.5))
figure_in_words("throughput", "8,746/CPU-s", aim=">= 10,000", note="p50 1 ms")
figure_in_words("no number", "none")
"""


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    (tmp_path / "small_benchmark.py").write_text(PROGRAM)
    return tmp_path


def run(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{REPOSITORY}"}
    subprocess.run([sys.executable, "-m", "small_benchmark", *arguments], cwd=folder, env=environment, check=True)


def test_a_recorded_run_appends_its_figures(benchmark: Path) -> None:
    run(benchmark, "--record", "history.jsonl")
    run(benchmark, "--record", "history.jsonl")

    ready, memory, overhead, throughput, *again = load(benchmark / "history.jsonl")
    assert len(again) == 4
    assert (ready.median, ready.interval, ready.n, ready.unit, ready.aim) == (0.7, (0.5, 0.9), 3, "s", "<= 1.5")
    assert (memory.median, memory.interval, memory.n) == (139.123, None, 1)
    assert (overhead.median, overhead.interval) == (1.0, (0.5, 1.5))
    assert (throughput.median, throughput.unit, throughput.aim) == (8746, "/CPU-s", ">= 10,000")
    assert ready.benchmark == "small_benchmark"
    assert ready.command == "python -m benchmarks.small_benchmark"
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", ready.commit)
    assert ready.machine == machine()


def test_a_run_without_the_option_writes_nothing(benchmark: Path) -> None:
    run(benchmark)

    assert [path.name for path in benchmark.iterdir() if path.suffix == ".jsonl"] == []


def test_the_page_is_what_the_history_gives() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(load()), "run: python -m benchmarks.report"


def test_every_line_of_the_history_is_complete() -> None:
    for line in HISTORY.read_text(encoding="utf-8").splitlines():
        measurement = Measurement.from_json(line)
        assert measurement.to_json() == json.dumps(json.loads(line), ensure_ascii=False)
        assert re.fullmatch(r"[0-9a-f]{7,}\+?", measurement.commit)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", measurement.date)
        assert measurement.n >= 1
        low, high = measurement.interval or (measurement.median, measurement.median)
        assert low <= measurement.median <= high


def test_the_page_shows_the_latest_figure_and_the_earlier_ones() -> None:
    fields = {"date": "2026-01-01", "machine": "m", "benchmark": "b", "figure": "f", "unit": "s", "aim": ""}
    history = [
        Measurement(commit=f"{number}" * 7, median=number, interval=None, n=1, command="c", **fields)
        for number in (1, 2, 3)
    ]

    row = next(line for line in page(history).splitlines() if line.startswith("| f |"))

    assert row.startswith("| f | 3 s |")
    assert row.index("2 (`2222222`") < row.index("1 (`1111111`")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_with_a_command_line_can_record(path: Path) -> None:
    text = path.read_text()
    if "ArgumentParser(" in text and path.name != "record.py":
        assert "parse_args(parser)" in text
        assert "parser.parse_args()" not in text
