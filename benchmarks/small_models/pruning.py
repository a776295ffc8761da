"""Pruning on MNIST: accuracy and speed of a model with a fraction of the operations.

The model is trained by its recipe, pruned, and trained again by the recipe of models with a base.

    python -m benchmarks.small_models.pruning
    python -m benchmarks.small_models.pruning --architectures resnet --operations 0.25
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.pruning import compare_pruned, prune, summarize, write_pruned
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.pruning import Prune
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

ARCHITECTURES: Final = ("cnn", "resnet")


def run_training(spec: Spec, dataset: Path, folder: Path, **options: Any) -> TrainingResult:
    """Train on one thread."""
    folder.mkdir()
    return train(
        spec,
        dataset,
        folder,
        device="cpu",
        threads=1,
        on_progress=lambda _: None,
        should_stop=lambda: None,
        **options,
    )


def run(architecture: str, *, operations: float, seed: int, dataset: Path, folder: Path) -> None:
    """Train, prune, train again, and print both models side by side."""
    fields = {"kind": "finetune", "dataset": "mnist", "model": "mnist", "task": "image_classification"}
    spec = TypeAdapter[Spec](Spec).validate_python({**fields, "architecture": architecture, "seed": seed})
    start = time.process_time()
    original = run_training(spec, dataset, folder / f"{architecture}-original").package
    trained = time.process_time()
    pruned = prune(original, Dataset.open(dataset).rows("train"), operations=operations)
    smaller = write_pruned(original, pruned, folder / f"{architecture}-pruned")
    request = Prune(kind="prune", model="mnist@1", dataset="mnist", operations=operations, seed=seed)
    again = request.retraining(original.manifest)
    result = run_training(again, dataset, folder / f"{architecture}-again", start_from=smaller.directory)
    retrained = time.process_time()
    section = compare_pruned(original, result.package, pruned, dataset, result.report)
    figure(f"{architecture}: training", trained - start, unit="CPU s")
    figure(f"{architecture}: pruning and training again", retrained - trained, unit="CPU s")
    fraction = section["operations"]["after"] / section["operations"]["before"]
    figure(f"{architecture}: operations that remain", 100 * fraction, unit="%", aim="<= 25")
    accuracy = section["metrics"]["accuracy"]
    loss = 100 * (accuracy["before"] - accuracy["after"])
    figure(f"{architecture}: accuracy before", 100 * accuracy["before"], unit="%")
    figure(f"{architecture}: accuracy lost", loss, unit="points", aim="<= 0.3")
    for rows, times in section["latency_ms"].items():
        figure(f"{architecture}: request of {rows}, times as fast", times["before"] / times["after"], unit="x")
    print(f"{architecture}: {trained - start:.0f} + {retrained - trained:.0f} CPU s", flush=True)
    for line in [*summarize(section), str(section["units"])]:
        print(f"  {line}", flush=True)


def main() -> int:
    """Run the architectures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--operations", type=float, default=0.25, help="fraction of the operations that remains")
    parser.add_argument("--seed", type=int, default=0)
    options = parse_args(parser)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        report = import_dataset(
            sorted((SHARED_DATA / "mnist").glob("*.gz")), folder / "dataset", task="image_classification"
        )
        if report.state != "ready":
            raise SystemExit(f"MNIST cannot be imported: {report.errors}")
        for architecture in options.architectures:
            run(
                architecture,
                operations=options.operations,
                seed=options.seed,
                dataset=folder / "dataset",
                folder=folder,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
