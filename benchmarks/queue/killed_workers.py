"""Jobs that are lost, doubled or out of order when workers are killed.

python -m benchmarks.queue.killed_workers [--jobs 400] [--workers 4] [--kills 20] [--sqlite]

Runs are empty: they wait for 0.1 s and register a model. Leases last 3 s instead of 30.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.record import figure, parse_args
from tests.support.servers import Postgres
from tests.support.worker.killed_workers import run_with_kills
from tests.support.worker.machine import Machine

SETTINGS: Final = {"PLINTH_WARM_WORKER": "0", "PLINTH_MAX_CRASHES": "100", "PLINTH_JOB_SLOTS": "2"}


def main() -> None:
    """Print what became of the jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sqlite", action="store_true", help="use SQLite instead of PostgreSQL")
    arguments = parse_args(parser)
    settings = dict(SETTINGS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not arguments.sqlite:
            server = Postgres().start()
            stack.callback(server.stop)
            settings["PLINTH_DATABASE_URL"] = server.url()
        machine = stack.enter_context(Machine(folder, **settings))
        outcome = run_with_kills(
            machine, jobs_count=arguments.jobs, workers=arguments.workers, kills=arguments.kills, seed=arguments.seed
        )
    cpu = os.times()
    print(f"{outcome}, {cpu.children_user + cpu.children_system:.0f} CPU seconds")
    system = "SQLite" if arguments.sqlite else "PostgreSQL"
    for name, value in asdict(outcome).items():
        aim = "<= 0" if name in ("lost", "doubled", "swapped") else ""
        figure(
            f"{name}, {arguments.jobs} jobs, {arguments.workers} workers, {system}", value, unit=_unit(name), aim=aim
        )


def _unit(name: str) -> str:
    return "s" if name == "seconds" else name if name == "kills" else "jobs"


if __name__ == "__main__":
    main()
