"""Time from submitting a job to its first training step, by phase.

`python -m benchmarks.first_step [RUNS]` starts a broker and a worker in a folder of their own, submits a job a few
times and prints where the time went. The aim is 4 s on two processor cores.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from benchmarks.record import figure, parse_args
from plinth.local.broker import EmbeddedBroker

DEADLINE_SECONDS = 120
SPEC: dict[str, Any] = {
    "kind": "finetune",
    "dataset": "digits",
    "task": "image_classification",
    "architecture": {"name": "cnn"},
    "schedule": {"epochs": 1, "batch_size": 64},
    "model": "digits",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=5)
    runs = parse_args(parser).runs
    with tempfile.TemporaryDirectory(prefix="plinth-first-step-") as folder:
        broker = EmbeddedBroker(Path(folder) / "broker")
        os.environ |= {"PLINTH_HOME": f"{folder}/home", "PLINTH_REDIS_URL": broker.start(), "PLINTH_DEVICE": "cpu"}
        subprocess.run([sys.executable, "-m", "migrations"], check=True)
        with (Path(folder) / "worker.log").open("wb") as log:
            worker = subprocess.Popen([sys.executable, "-m", "worker"], stdout=log, stderr=log)
        try:
            show(measure(Path(folder), runs))
        finally:
            worker.terminate()
            worker.wait()
            broker.stop()


def measure(folder: Path, runs: int) -> list[dict[str, float]]:
    """Seconds by part, for each run."""
    # Only now: `store` reads its settings once, and they have just been made.
    from store import jobs
    from store.database import transaction

    dataset_id = imported_digits(folder)
    result = []
    for _ in range(runs):
        began = time.time()
        with transaction() as session:
            job = jobs.submit(session, kind="finetune", spec=SPEC, dataset_id=dataset_id, model_name="digits")
        submitted = time.time()
        wait_until_ended(job.id)
        result.append(parts_of(job.id, began, submitted))
    return result


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


def show(runs: list[dict[str, float]]) -> None:
    """Median, least and most of each part."""
    table = Table(title=f"From POST to the first step, {len(runs)} runs, seconds")
    for heading in ("part", "median", "least", "most"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name in runs[0]:
        seconds = [run[name] for run in runs]
        figure(f"submit to first training step: {name}", seconds, unit="s", aim="<= 4" if name == "all" else "")
        table.add_row(name, *(f"{value:.2f}" for value in (median(seconds), min(seconds), max(seconds))))
    Console().print(table)


if __name__ == "__main__":
    main()
