import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HISTORY = REPOSITORY / "benchmarks" / "history.jsonl"
FIELDS = {
    "commit": str,
    "date": str,
    "machine": str,
    "benchmark": str,
    "figure": str,
    "unit": str,
    "median": int | float,
    "interval": list | None,
    "n": int,
    "aim": str,
    "command": str,
    "note": str,
}
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
    (tmp_path / "small.py").write_text(PROGRAM)
    return tmp_path


def run(folder: Path, module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{REPOSITORY}"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def lines_of(history: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]


def test_a_recorded_run_appends_its_figures(benchmark: Path) -> None:
    for _ in range(2):
        assert run(benchmark, "small", "--record", "history.jsonl").returncode == 0

    ready, memory, overhead, throughput, *again = lines_of(benchmark / "history.jsonl")
    assert len(again) == 4
    assert (ready["median"], ready["interval"], ready["n"], ready["unit"]) == (0.7, [0.5, 0.9], 3, "s")
    assert (ready["aim"], ready["benchmark"]) == ("<= 1.5", "small")
    assert ready["command"].split() == ["python", "-m", f"benchmarks.{ready['benchmark']}"]
    assert (memory["median"], memory["interval"], memory["n"]) == (139.123, None, 1)
    assert (overhead["median"], overhead["interval"]) == (1.0, [0.5, 1.5])
    assert (throughput["median"], throughput["unit"], throughput["aim"]) == (8746, "/CPU-s", ">= 10,000")
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", ready["commit"])


def test_a_run_without_the_option_writes_nothing(benchmark: Path) -> None:
    assert run(benchmark, "small").returncode == 0

    assert not (benchmark / "history.jsonl").exists()
    assert {path.name for path in benchmark.iterdir()} - {"__pycache__"} == {"small.py"}


def test_the_page_is_what_the_history_gives(tmp_path: Path) -> None:
    done = run(tmp_path, "benchmarks.report", "--check")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_is_out_of_date_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Benchmarks\n")

    done = run(tmp_path, "benchmarks.report", "--check", "--page", tmp_path / "page.md")

    assert done.returncode == 1
    assert "python -m benchmarks.report" in done.stdout


def test_every_line_of_the_history_is_complete() -> None:
    for line in lines_of(HISTORY):
        assert line.keys() == FIELDS.keys()
        assert all(isinstance(line[name], kind) for name, kind in FIELDS.items()), line
        assert re.fullmatch(r"[0-9a-f]{7,}\+?", line["commit"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", line["date"])
        assert line["n"] >= 1
        low, high = line["interval"] or (line["median"], line["median"])
        assert low <= line["median"] <= high


def test_the_page_shows_the_latest_figure_and_the_earlier_ones(tmp_path: Path) -> None:
    with (tmp_path / "history.jsonl").open("w") as file:
        for number in (1, 2, 3):
            text = dict.fromkeys(("date", "machine", "benchmark", "unit", "aim", "command", "note"), "x")
            line = {**text, "figure": "f", "median": number, "interval": None, "n": 1, "commit": f"{number}" * 7}
            file.write(json.dumps(line) + "\n")

    run(tmp_path, "benchmarks.report", "--history", tmp_path / "history.jsonl", "--page", tmp_path / "page.md")

    row = next(line for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("| f |"))
    assert row.startswith("| f | 3 x |")
    assert 0 < row.index("2 (`2222222`") < row.index("1 (`1111111`")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_with_a_command_line_can_record(path: Path) -> None:
    text = path.read_text()
    if "ArgumentParser(" in text and path.name not in ("record.py", "report.py"):
        assert "parse_args(parser)" in text
        assert "parser.parse_args()" not in text
