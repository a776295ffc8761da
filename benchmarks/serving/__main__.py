"""Predictions per CPU-second through the whole service, beside its limits.

python -m benchmarks.serving [images ...] [--seconds 3] [--connections 64]

Needs `wrk` (Debian: apt-get install wrk). The service has one core, the load another. Figures are requests per
CPU-second of the service's process tree: a busy machine counts little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.record import figure, figure_in_words, parse_args
from benchmarks.serving.load import SERVER_CORE
from benchmarks.serving.service import Figure, Service
from tests.support.api_process import ApiProcess

#: Files of this folder, each with a `measure`.
QUESTIONS = (
    "images",
    "text",
    "cold",
    "idle",
    "alias",
    "rollback",
    "beside",
    "trunks",
    "protocols",
    "peers",
    "decisions",
    "traces",
)


def main() -> None:
    """Print a table, row by row as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", choices=[*QUESTIONS, []], help="all, where none is named")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    request = parse_args(parser)
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("needs two cores: one serves, one asks")
    print("| work | reached | aim | note |\n|---|---|---|---|")
    for question in request.questions or QUESTIONS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with ApiProcess(folder / "home", cores=SERVER_CORE) as api:
                service = Service(api, folder, seconds=request.seconds, connections=request.connections)
                for row in import_module(f"benchmarks.serving.{question}").measure(service):
                    record(row)
                    print(f"| {row.work} | {row.reached} | {row.aim} | {row.note} |", flush=True)


def record(row: Figure) -> None:
    """Store a row with its repetitions, if it has any."""
    if row.repetitions:
        figure(row.work, row.repetitions, unit=row.unit, aim=row.aim, note=row.note)
    else:
        figure_in_words(row.work, row.reached, aim=row.aim, note=row.note)


if __name__ == "__main__":
    main()
