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
from typing import Final

from benchmarks.record import figure, parse_args
from benchmarks.small_models.mnist import import_mnist, run_training
from ml.data.dataset import Dataset
from ml.learning.pipeline.pruning import compare_pruned, prune, summarize, write_pruned
from ml.spec.pruning import Prune

ARCHITECTURES: Final = ("cnn", "resnet")


def run(architecture: str, *, operations: float, seed: int, dataset: Path, folder: Path) -> None:
    """Train, prune, train again, and print both models side by side."""
    fields = {"architecture": {"name": architecture, "config": {"preset": "small"}}, "seed": seed}
    start = time.process_time()
    original = run_training(fields, dataset, folder / f"{architecture}-original").package
    trained = time.process_time()
    pruned = prune(original, Dataset.open(dataset).rows("train"), operations=operations)
    smaller = write_pruned(original, pruned, folder / f"{architecture}-pruned")
    request = Prune(kind="prune", model="mnist@1", dataset="mnist", operations=operations, seed=seed)
    again = request.retraining(original.manifest).model_dump(mode="json", exclude_unset=True)
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
        dataset = import_mnist(folder)
        for architecture in options.architectures:
            run(
                architecture,
                operations=options.operations,
                seed=options.seed,
                dataset=dataset,
                folder=folder,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
