"""Rows per CPU-second of `batch_predict` jobs and of single requests.

`python -m benchmarks.batch_predict [--rows ROWS] [--requests REQUESTS]` starts a service, trains a small model of
images, one of texts and one of tables for a few steps, sends single requests over one connection, and predicts all rows
by a job. CPU seconds are those of the API process, and of the process of the job with its start. The aim is a ratio
of 5.
"""

from __future__ import annotations

import argparse
import http.client
import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from sklearn.datasets import load_digits

from benchmarks.record import figure, parse_args
from tests.support.stack import RunningStack, plinth_up

if TYPE_CHECKING:
    from plinth import Plinth

AIM = 5
WORDS = tuple(f"word{number}" for number in range(20))
SCHEDULE = {"epochs": 1, "max_steps": 20, "batch_size": 64}
#: Requests before those that are measured, which load the model.
WARM_UP_REQUESTS = 50


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--requests", type=int, default=2_000)
    arguments = parse_args(parser)
    with tempfile.TemporaryDirectory(prefix="plinth-batch-") as folder, plinth_up(Path(folder) / "home") as stack:
        for task, files in write_data(Path(folder), arguments.rows).items():
            measure(stack, task, files, arguments.requests)


def write_data(folder: Path, rows: int) -> dict[str, list[Path]]:
    """Write digits as IDX, and texts and measurements as CSV."""
    generator = np.random.default_rng(0)
    digits = load_digits()
    order = generator.integers(0, len(digits.images), size=rows)
    images = np.kron((digits.images[order] * 15).astype(np.uint8), np.ones((1, 3, 3), dtype=np.uint8))
    noise = generator.integers(0, 8, size=images.shape, dtype=np.uint8)
    images = (images // 2 + noise).astype(np.uint8)
    labels = digits.target[order].astype(np.uint8)
    paths = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    paths[0].write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape) + images.tobytes())
    paths[1].write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, rows) + labels.tobytes())
    texts = generator.choice(WORDS, size=(rows, 8))
    lines = [f"{' '.join(text)} {row},{'yes' if WORDS[0] in text else 'no'}" for row, text in enumerate(texts)]
    (folder / "texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    numbers = generator.normal(size=(rows, 8)).round(3)
    table = [f"{','.join(map(str, values))},{'yes' if values[0] > 0 else 'no'}" for values in numbers.tolist()]
    names = ",".join(f"n{number}" for number in range(8))
    (folder / "table.csv").write_text(f"{names},label\n" + "\n".join(table) + "\n")
    return {
        "image_classification": list(paths),
        "text_classification": [folder / "texts.csv"],
        "tabular_classification": [folder / "table.csv"],
    }


def measure(stack: RunningStack, task: str, files: list[Path], requests: int) -> None:
    """Train, predict both ways, and print the rows per CPU-second of each."""
    with stack.client() as plinth:
        dataset = plinth.datasets.upload(files, name=task.replace("_", "-"), task=task)
        plinth.datasets.wait(dataset.id)
        job = plinth.jobs.finetune(dataset.name, model=dataset.name, task=task, schedule=SCHEDULE)
        plinth.jobs.wait(job.id)
        single = single_rows_per_second(stack, dataset.name, inputs_of(stack, dataset.name), requests)
        rows, batch = batch_rows_per_second(plinth, dataset.name)
    ratio = batch / single
    print(f"{task:24} single {single:8,.0f}   batch of {rows:,} {batch:9,.0f} rows a CPU-second   ratio {ratio:.1f}")
    figure(f"{task}: single requests", single, unit="rows per CPU-second")
    figure(f"{task}: batch_predict", batch, unit="rows per CPU-second", note=f"{rows:,} rows, start included")
    figure(f"{task}: ratio", ratio, unit="x", aim=f">= {AIM}")


def inputs_of(stack: RunningStack, name: str) -> list[dict[str, Any]]:
    """Return some rows as inputs; images as pixels, which are read fastest."""
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"))
    connection.request("GET", f"/api/v1/datasets/{name}/preview?limit=50", headers=headers)
    data = json.loads(connection.getresponse().read())["data"]
    connection.close()
    return [row["input"] for row in data]


def single_rows_per_second(
    stack: RunningStack, model: str, inputs: list[Mapping[str, Any]] | list[dict[str, Any]], requests: int
) -> float:
    """Return rows per CPU-second of the API process for single requests."""
    headers = {"Authorization": f"Bearer {stack.api_key}", "Content-Type": "application/json"}
    bodies = [json.dumps({"inputs": [row]}).encode() for row in inputs]
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"))
    process = psutil.Process(stack.pid_of("app"))
    began = 0.0
    for number in range(WARM_UP_REQUESTS + requests):
        if number == WARM_UP_REQUESTS:
            began = sum(process.cpu_times()[:4])
        connection.request("POST", f"/predict/{model}", body=bodies[number % len(bodies)], headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    spent: float = sum(process.cpu_times()[:4]) - began
    connection.close()
    return requests / spent


def batch_rows_per_second(plinth: Plinth, name: str) -> tuple[int, float]:
    """Return the rows of a job, and rows per CPU-second of its process."""
    job = plinth.jobs.batch_predict(name, name)
    plinth.jobs.wait(job.id)
    report = plinth.jobs.report(job.id)
    return int(report["rows"]), report["rows"] / report["cpu_seconds"]


if __name__ == "__main__":
    main()
