"""Cost of starting a job: until its first training step, and of many small ones.

`python -m benchmarks.first_step [RUNS] [--trials N]` starts a broker, and in turns a worker whose runs are new
processes and one whose runs are forked (`PLINTH_WARM_WORKER`). It submits a job a few times, prints where the time
went, and then N jobs at once. Processor seconds are those of the worker and all that it started, without its own start.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from benchmarks.record import figure, parse_args
from plinth.local.broker import EmbeddedBroker

DEADLINE_SECONDS = 120
#: How runs start, by `PLINTH_WARM_WORKER`.
START = {False: "new process", True: "forked"}
AIMS = {"all": "<= 0.8", "CPU seconds": "<= 1.0"}
SPEC: dict[str, Any] = {
    "kind": "finetune",
    "dataset": "digits",
    "task": "image_classification",
    "architecture": {"name": "cnn"},
    "schedule": {"epochs": 1, "batch_size": 64},
    "model": "digits",
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20, help="jobs to submit at once")
    arguments = parse_args(parser)
    with tempfile.TemporaryDirectory(prefix="plinth-first-step-") as folder:
        broker = EmbeddedBroker(Path(folder) / "broker")
        os.environ |= {"PLINTH_HOME": f"{folder}/home", "PLINTH_REDIS_URL": broker.start(), "PLINTH_DEVICE": "cpu"}
        subprocess.run([sys.executable, "-m", "migrations"], check=True)
        try:
            with running_worker(Path(folder), is_warm=False):
                dataset_id = imported_digits(Path(folder))
            for is_warm in (False, True):
                with running_worker(Path(folder), is_warm=is_warm) as worker:
                    # The first one starts the process that others are forked from.
                    wait_until_ended(submit(dataset_id))
                    show(measure(worker, dataset_id, arguments.runs), START[is_warm])
                    show_trials(worker, dataset_id, arguments.trials, START[is_warm])
        finally:
            broker.stop()


@contextlib.contextmanager
def running_worker(folder: Path, *, is_warm: bool) -> Iterator[psutil.Process]:
    """A worker; its log is in `folder`."""
    environment = {**os.environ, "PLINTH_WARM_WORKER": str(is_warm)}
    with (folder / "worker.log").open("ab") as log:
        worker = subprocess.Popen([sys.executable, "-m", "worker"], stdout=log, stderr=log, env=environment)
    try:
        yield psutil.Process(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


def submit(dataset_id: str) -> str:
    """Submit a job and return its id."""
    # Only now: `store` reads its settings once, and they have been made by now.
    from store import jobs
    from store.database import transaction

    with transaction() as session:
        return str(jobs.submit(session, kind="finetune", spec=SPEC, dataset_id=dataset_id, model_name="digits").id)


def measure(worker: psutil.Process, dataset_id: str, runs: int) -> list[dict[str, float]]:
    """Seconds by part, for each run, and the processor seconds until the first step."""
    result = []
    for _ in range(runs):
        cpu_seconds, began = cpu_seconds_of(worker), time.time()
        job_id = submit(dataset_id)
        submitted = time.time()
        wait_for_first_step(job_id)
        cpu_seconds = cpu_seconds_of(worker) - cpu_seconds
        wait_until_ended(job_id)
        result.append({**parts_of(job_id, began, submitted), "CPU seconds": cpu_seconds})
    return result


def cpu_seconds_of(worker: psutil.Process) -> float:
    """Processor seconds of a worker, of its descendants, and of those that have ended."""
    total = 0.0
    for process in (worker, *worker.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def wait_for_first_step(job_id: str) -> None:
    """Wait for the first event that has a metric."""
    from store import job_events
    from store.database import reading

    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with reading() as session:
            if any(event.kind == "metric" for event in job_events.events(session, job_id, limit=1000)):
                return
        time.sleep(0.01)
    raise SystemExit(f"{job_id} had no step in {DEADLINE_SECONDS} s")


def imported_digits(folder: Path) -> str:
    """scikit-learn's digits, uploaded as IDX and validated."""
    from store import datasets, jobs
    from store.blobs import blobs
    from store.database import reading, transaction
    from store.tables import JobKind

    digits = load_digits()
    images, labels = (digits.images * 255 / 16).astype("u1"), digits.target.astype("u1")
    contents = {
        "train-images-idx3-ubyte": struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape) + images.tobytes(),
        "train-labels-idx1-ubyte": struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + labels.tobytes(),
    }
    sources = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        sources.append({"key": f"uploads/upl_digits/{name}", "filename": name})
        blobs().put_file(f"uploads/upl_digits/{name}", folder / name)
    with transaction() as session:
        dataset = datasets.create(session, name="digits", sources=sources, task="image_classification")
    with reading() as session:
        validations = jobs.JobFilter(kinds=[JobKind.VALIDATE])
        [validation] = jobs.listing(session, matching=validations, limit=1, cursor=None).items
    wait_until_ended(validation.id)
    return str(dataset.id)


def wait_until_ended(job_id: str) -> None:
    """Raises where the job does not succeed in time."""
    from store import jobs
    from store.database import reading

    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        with reading() as session:
            job = jobs.get(session, job_id)
        if job.state == "succeeded":
            return
        if job.state == "failed":
            raise SystemExit(f"{job_id} failed: {job.error}")
        time.sleep(0.05)
    raise SystemExit(f"{job_id} did not end in {DEADLINE_SECONDS} s")


def parts_of(job_id: str, began: float, submitted: float) -> dict[str, float]:
    """The job's own events say when each part was over."""
    from store import job_events
    from store.database import reading

    with reading() as session:
        events = job_events.events(session, job_id, limit=1000)

    def first(kind: str, **expected: str) -> float:
        return next(
            event.created_at.timestamp()
            for event in events
            if event.kind == kind and all(event.data.get(name) == value for name, value in expected.items())
        )

    ends = {
        "commit and ring": submitted,
        "message and claim": first("state", state="running"),
        "process: Python, store, dataset": first("log", message="starting"),
        "import torch and the library": first("progress", phase="preparing"),
        "rows, network, first step": first("metric"),
    }
    starts = [began, *ends.values()]
    parts = {name: end - start for (name, end), start in zip(ends.items(), starts, strict=False)}
    return {**parts, "all": ends["rows, network, first step"] - began}


def show(runs: list[dict[str, float]], start: str) -> None:
    """Median, least and most of each part."""
    table = Table(title=f"From POST to the first step, {start}, {len(runs)} runs, seconds")
    for heading in ("part", "median", "least", "most"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name in runs[0]:
        seconds = [run[name] for run in runs]
        aim = AIMS.get(name, "") if start == START[True] else ""
        figure(f"submit to first training step, {start}: {name}", seconds, unit="s", aim=aim)
        table.add_row(name, *(f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds))))
    Console().print(table)


def show_trials(worker: psutil.Process, dataset_id: str, count: int, start: str) -> None:
    """Jobs a minute, and the processor seconds of a job."""
    cpu_seconds, began = cpu_seconds_of(worker), time.monotonic()
    for job_id in [submit(dataset_id) for _ in range(count)]:
        wait_until_ended(job_id)
    minutes = (time.monotonic() - began) / 60
    cpu_seconds = (cpu_seconds_of(worker) - cpu_seconds) / count
    figure(f"small jobs a minute, {start}", count / minutes, unit="jobs/min")
    figure(f"processor seconds of a small job, {start}", cpu_seconds, unit="CPU-s")
    Console().print(f"{count} jobs at once, {start}: {count / minutes:.1f} a minute, {cpu_seconds:.2f} CPU-s each\n")


if __name__ == "__main__":
    main()
