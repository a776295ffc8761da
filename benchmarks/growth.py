"""The cost of requests as the database grows: jobs, models and points.

python -m benchmarks.growth [--sizes 1000 10000 100000] [--postgresql]

Each size gets a database of its own: finished fine-tunings with reports, each with a model, 500 names of models, all on
one dataset. The requests go through the whole application in this process, so that its CPU time is what a request
costs the API; that of a PostgreSQL server comes on top.
"""

from __future__ import annotations

import argparse
import logging
import resource
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, func, insert, select, update
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import AppSettings
from benchmarks.record import figure, parse_args
from store.database import engine
from store.tables import Dataset, Event, Job, MetricPoint, Model
from tests.support.database import empty_database

NAMES: Final = 500
REPORT_CLASSES: Final = 20
TRIES: Final = 5
BATCH: Final = 2000
#: Points of the job whose curves are read, for each finished job of the database.
POINTS_PER_JOB: Final = 10
EVENTS: Final = 20_000
LINES: Final = 20
KEY: Final = "plinth_benchmark_" + secrets.token_hex(20)
CREATED_AT: Final = datetime.fromtimestamp(1_790_000_000, UTC)
#: The request and its aim in CPU milliseconds.
READS: Final = {
    "jobs, first page": ("/api/v1/jobs?limit=50", "<= 20"),
    "jobs of one kind": ("/api/v1/jobs?kind=finetune&limit=50", "<= 20"),
    "failed jobs": ("/api/v1/jobs?state=failed&limit=50", "<= 20"),
    "models, first page": ("/api/v1/models?limit=50", "<= 20"),
    "curves, 1,000 points each": ("/api/v1/jobs/{job}/metrics", "<= 300"),
    "log lines": ("/api/v1/jobs/{job}/logs?limit=50", "<= 20"),
}


def main() -> None:
    """Print CPU milliseconds of each request at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL instead of SQLite")
    arguments = parse_args(parser)
    logging.disable()
    system = "PostgreSQL" if arguments.postgresql else "SQLite"
    columns = {size: measure(size, arguments.postgresql) for size in arguments.sizes}
    table = Table("request", *(f"{size:,} jobs" for size in columns), title=f"CPU milliseconds, {system}")
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{column[name][0]:.1f}" for column in columns.values()))
    Console().print(table)
    largest = max(columns)
    for name, (value, aim) in columns[largest].items():
        figure(f"{name}, {largest:,} jobs, {system}", value, unit="CPU-ms" if "memory" not in name else "MB", aim=aim)


def measure(size: int, postgresql: bool) -> dict[str, tuple[float, str]]:
    """Return CPU milliseconds and the aim of each request."""
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder), postgresql) as client:
        with engine().begin() as connection:
            job_id, dataset_id = _fill(connection, size)
        costs = {
            name: (min(_cpu_ms(partial(client.get, path.format(job=job_id))) for _ in range(TRIES)), aim)
            for name, (path, aim) in READS.items()
        }
        before = _peak_mb()
        costs["delete a dataset"] = (_cpu_ms(lambda: client.delete(f"/api/v1/datasets/{dataset_id}")), "<= 200")
        costs["delete a model"] = (_cpu_ms(lambda: client.delete("/api/v1/models/model-1/versions/1")), "<= 200")
        costs["memory of both deletions"] = (_peak_mb() - before, "<= 10")
        return costs


@contextmanager
def _service(home: Path, postgresql: bool) -> Iterator[TestClient]:
    with empty_database(home, postgresql=postgresql):
        app = create_app(AppSettings.model_validate({"api_key": KEY}))
        headers = {"Authorization": f"Bearer {KEY}"}
        with TestClient(app, base_url="http://localhost", headers=headers) as client:
            yield client


def _cpu_ms(request: Callable[[], Any]) -> float:
    begin = time.process_time()
    response = request()
    seconds = time.process_time() - begin
    assert response.is_success, response.text
    return seconds * 1000


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fill(connection: Connection, size: int) -> tuple[str, str]:
    """Insert a dataset, jobs with their models, and one job with many points and events.

    Returns the ids of that job and of the dataset.
    """
    dataset_id = f"ds_{0:032x}"
    values = {"id": dataset_id, "name": "data", "version": 1, "state": "ready", "created_at": CREATED_AT}
    connection.execute(insert(Dataset), [values | {"summary": {"digest": "0" * 64}, "bytes": 1}])
    warnings = ["accuracy 0.50 is not above the baseline"]
    per_class = {f"class {number}": {"precision": 0.5, "recall": 0.5, "f1": 0.5} for number in range(REPORT_CLASSES)}
    report = {"metrics": {"accuracy": 0.5}, "per_class": per_class, "warnings": warnings, "text": "x" * 2500}
    for begin in range(0, size, BATCH):
        numbers = range(begin, min(begin + BATCH, size))
        connection.execute(insert(Job), [_job(number, dataset_id, report) for number in numbers])
        connection.execute(insert(Model), [_model(number, dataset_id) for number in numbers if number % 17])
    newest = select(func.max(Model.id)).group_by(Model.name)
    connection.execute(update(Model).where(Model.id.in_(newest)).values(is_latest=True))
    job_id = _id("job", size - 1)
    points = [
        {"job_id": job_id, "name": name, "step": step, "value": 1 / (1 + step)}
        for name in ("train/loss", "learning_rate")
        for step in range(size * POINTS_PER_JOB // 2)
    ]
    for begin in range(0, len(points), 50_000):
        connection.execute(insert(MetricPoint), points[begin : begin + 50_000])
    connection.execute(insert(Event), [_event(job_id, number) for number in range(1, EVENTS + 1)])
    return job_id, dataset_id


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{number:032x}"


def _job(number: int, dataset_id: str, report: dict[str, Any]) -> dict[str, Any]:
    spec = {"kind": "finetune", "dataset": "data@1", "task": "image_classification", "model": f"model-{number % NAMES}"}
    has_failed = number % 17 == 0
    return {
        "id": _id("job", number),
        "kind": "finetune",
        "state": "failed" if has_failed else "succeeded",
        "spec": spec | {"architecture": "cnn", "schedule": {"epochs": 3, "learning_rate": 0.001}, "seed": number},
        "dataset_id": dataset_id,
        "model_name": f"model-{number % NAMES}",
        "fence": 1,
        "report": None if has_failed else report,
        "warnings": None if has_failed else report["warnings"],
        "error": {"code": "crashed", "message": "it crashed"} if has_failed else None,
        "latest": {"train/loss": 0.5},
        "created_at": CREATED_AT + timedelta(seconds=number),
        "finished_at": CREATED_AT + timedelta(seconds=number + 1),
        "notify_at": CREATED_AT,
    }


def _model(number: int, dataset_id: str) -> dict[str, Any]:
    return {
        "id": _id("mod", number),
        "name": f"model-{number % NAMES}",
        "version": number // NAMES + 1,
        "is_latest": False,
        "task": "image_classification",
        "architectures": {"image": "cnn"},
        "parameters": 35_674,
        "bytes": 145_000,
        "metrics": {"test/accuracy": 0.5},
        "labels": [str(label) for label in range(10)],
        "formats": ["onnx"],
        "files": [{"path": f"file-{part}", "bytes": 1, "sha256": "0" * 64} for part in range(6)],
        "key": f"models/{_id('mod', number)}",
        "manifest_sha256": "0" * 64,
        "job_id": _id("job", number),
        "dataset_id": dataset_id,
        "created_at": CREATED_AT + timedelta(seconds=number),
    }


def _event(job_id: str, number: int) -> dict[str, Any]:
    is_log = number % (EVENTS // LINES) == 0
    data = {"message": "a line", "level": "info"} if is_log else {"step": number, "percent": 1.0}
    return {"job_id": job_id, "number": number, "kind": "log" if is_log else "progress", "data": data}


if __name__ == "__main__":
    main()
