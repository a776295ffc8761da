"""The cost of claiming a job, and of its position, as the queue grows.

python -m benchmarks.queue.claims [--sizes 1000 100000] [--owners 20] [--postgresql]

Each size gets a database of its own, with that many queued jobs and as many that have ended. Times are medians of wall
clock, so that those of a PostgreSQL server count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, select

from benchmarks.record import figure, parse_args
from store import jobs
from store.database import engine, reading, transaction
from store.tables import Job, JobKind, Lane
from tests.support.database import empty_database

TRIES: Final = 30
BATCH: Final = 5000


def main() -> None:
    """Print milliseconds of each operation at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--owners", type=int, default=20)
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL instead of SQLite")
    arguments = parse_args(parser)
    system = "PostgreSQL" if arguments.postgresql else "SQLite"
    columns = {size: _measure(size, arguments.owners, arguments.postgresql) for size in arguments.sizes}
    table = Table("operation", *(f"{size:,} queued" for size in columns), title=f"milliseconds, {system}")
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{median(column[name]):.2f}" for column in columns.values()))
    Console().print(table)
    smallest, largest = (columns[size]["claim the next job"] for size in (min(columns), max(columns)))
    ratio = median(largest) / median(smallest)
    figure(f"claim, {max(columns):,} queued jobs against {min(columns):,}, {system}", ratio, unit="times", aim="<= 1.5")
    for name, values in columns[max(columns)].items():
        figure(f"{name}, {max(columns):,} queued jobs, {system}", values, unit="ms")


def _measure(size: int, owners: int, postgresql: bool) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder, empty_database(Path(folder), postgresql=postgresql):
        with engine().begin() as connection:
            for begin in range(0, 2 * size, BATCH):
                numbers = range(begin, min(begin + BATCH, 2 * size))
                connection.execute(insert(Job), [_job(number, size, owners) for number in numbers])
        with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
        return {
            "claim the next job": [_milliseconds(_claim) for _ in range(TRIES)],
            "position of one job": [_milliseconds(_read_position) for _ in range(TRIES // 3)],
        }


def _job(number: int, size: int, owners: int) -> dict[str, Any]:
    values = {"id": f"job_{number:032x}", "kind": "finetune", "owner_id": f"key_{number % owners:02}", "spec": {}}
    return values | {"state": "succeeded" if number < size else "queued", "priority": number % 7 % 3}


def _claim() -> None:
    with transaction() as session:
        assert jobs.claim_next(session, Lane.COMPUTING, worker="w", kinds=[JobKind.FINETUNE, JobKind.PRETRAIN])


def _read_position() -> None:
    with reading() as session:
        last = session.scalars(select(Job).where(Job.state == "queued").order_by(Job.id.desc()).limit(1)).one()
        assert jobs.queue_positions(session, [last])


def _milliseconds(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    main()
