"""MNIST: default recipe of the catalog beside a one-convolution network.

`python benchmarks/tasks/mnist.py` trains in this process; `--through-api` does the same over HTTP, on a running service
(`PLINTH_URL`, `PLINTH_API_KEY`), one job after the other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.record import figure, parse_args
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from plinth import Plinth

DATA = SHARED_DATA / "mnist"
DATASET = "mnist"

RECIPES: dict[str, dict[str, Any]] = {
    "default recipe": {"architecture": "cnn"},
    "the document's": {
        "architecture": {"name": "cnn", "config": {"preset": "document"}},
        "schedule": {
            "epochs": 10,
            "batch_size": 32,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "weight_decay": 0,
            "decay": "constant",
        },
    },
}


#: Test accuracy in percent, and CPU seconds of one thread.
AIMS: dict[str, tuple[str, str]] = {"default recipe": (">= 99.5", "<= 35")}


@dataclass(frozen=True, slots=True)
class MnistRun:
    """Result of one run; CPU seconds are None if another process ran it."""

    test: float
    validation: float
    epochs: int
    parameters: int
    wall_seconds: float
    cpu_seconds: float | None


def train_here(recipe: dict[str, Any], dataset: Path, seed: int) -> MnistRun:
    """Train in this process."""
    from pydantic import TypeAdapter

    from ml.learning.pipeline.train import train
    from ml.spec.schema import Spec

    spec = TypeAdapter[Spec](Spec).validate_python(_spec(recipe, seed))
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        result = train(spec, dataset, Path(folder), device="cpu")
        return MnistRun(
            test=result.metrics["test/accuracy"],
            validation=result.metrics["validation/accuracy"],
            epochs=(result.report or {})["training"]["epochs"],
            parameters=result.package.manifest.parameters,
            wall_seconds=time.perf_counter() - wall,
            cpu_seconds=time.process_time() - cpu,
        )


def through_api(recipe: dict[str, Any], client: Plinth, dataset: str, seed: int) -> MnistRun:
    """Post a job and wait for it."""
    began = time.perf_counter()
    job = client.jobs.submit({**_spec(recipe, seed), "dataset": dataset})
    job = client.jobs.wait(job.id)
    if job.model is None:
        sys.exit(f"{job.id} ended {job.state}: {job.error}")
    return MnistRun(
        test=client.jobs.report(job.id)["metrics"]["accuracy"],
        validation=job.metrics["validation/accuracy"],
        epochs=job.progress.epochs or 0,
        parameters=client.models.get(str(job.model)).parameters,
        wall_seconds=time.perf_counter() - began,
        cpu_seconds=None,
    )


def _spec(recipe: dict[str, Any], seed: int) -> dict[str, Any]:
    common = {"kind": "finetune", "dataset": DATASET, "task": "image_classification", "model": DATASET, "seed": seed}
    return {**common, **recipe}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--through-api", action="store_true")
    arguments = parse_args(parser)
    files = sorted(arguments.data.glob("*-ubyte*"))
    if not files:
        sys.exit(f"skipped: no MNIST files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.through_api:
            from plinth import Plinth

            client = Plinth()
            uploaded = client.datasets.upload(files, name=DATASET, task="image_classification")
            ready = client.datasets.wait(uploaded.id)
            runs = {
                (name, seed): through_api(RECIPES[name], client, ready.id, seed)
                for name in arguments.recipes
                for seed in arguments.seeds
            }
        else:
            from ml.data.importing.importer import import_dataset

            dataset = Path(folder) / "dataset"
            report = import_dataset(files, dataset, task="image_classification")
            if report.state != "ready":
                sys.exit(f"MNIST was rejected: {report.errors}")
            runs = {
                (name, seed): train_here(RECIPES[name], dataset, seed)
                for name in arguments.recipes
                for seed in arguments.seeds
            }
    _show(runs)


def _show(runs: dict[tuple[str, int], MnistRun]) -> None:
    head = ("recipe", "seed", "parameters", "epochs", "validation", "test", "wall s", "CPU s")
    print("{:<16} {:>4} {:>10} {:>6} {:>10} {:>8} {:>7} {:>6}".format(*head))
    for (name, seed), result in runs.items():
        scores = f"{result.validation:>10.2%} {result.test:>8.2%}"
        cpu = "-" if result.cpu_seconds is None else f"{result.cpu_seconds:.0f}"
        size = f"{result.parameters:>10,} {result.epochs:>6}"
        print(f"{name:<16} {seed:>4} {size} {scores} {result.wall_seconds:>7.0f} {cpu:>6}")
    for name in dict.fromkeys(name for name, _ in runs):
        results = [result for (recipe, _), result in runs.items() if recipe == name]
        tests = [result.test for result in results]
        seconds = [result.cpu_seconds for result in results if result.cpu_seconds is not None]
        accuracy_aim, seconds_aim = AIMS.get(name, ("", ""))
        note = f"mean {mean(tests):.2%}; {results[0].epochs} epochs, {results[0].parameters:,} parameters"
        figure(f"{name}: test accuracy", [test * 100 for test in tests], unit="%", aim=accuracy_aim, note=note)
        if seconds:
            figure(f"{name}: from spec to package", seconds, unit="CPU s", aim=seconds_aim)
        if len(tests) > 1:
            print(f"{name:<16} test: mean {mean(tests):.2%}, from {min(tests):.2%} to {max(tests):.2%}")


if __name__ == "__main__":
    main()
