"""MNIST: quality and cost of every image architecture with its default recipe.

Trained on the training split, a tenth of which validates; the test split is judged once. CPU seconds cover everything
from spec to package, evaluation and export included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.catalog import Catalog
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "mnist"
ACCURACY = 0.97
CPU_SECONDS = 180


def fitting() -> list[str]:
    """The architectures that image classification can be built on."""
    return [name for name, reason in Catalog.load().fits.tasks["image_classification"]["image"].items() if not reason]


def main() -> None:
    """Print a table; ends with 1 where an architecture misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four IDX files")
    parser.add_argument("--architectures", nargs="+", choices=fitting(), default=fitting())
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    files = sorted(arguments.data.glob("*-ubyte*"))
    if not files:
        sys.exit(f"skipped: no MNIST files in {arguments.data}; name their folder with --data")
    remaining = True
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        report = import_dataset(files, dataset, task="image_classification")
        if report.state != "ready":
            sys.exit(f"MNIST was rejected: {report.errors}")
        head = ("architecture", "parameters", "epochs", "validation", "test", "CPU s", "promised")
        print("{:<14} {:>10} {:>6} {:>10} {:>8} {:>6}  {}".format(*head), flush=True)
        for name in arguments.architectures:
            remaining &= _row(name, dataset, Path(folder) / name, arguments.seed)
    sys.exit(not remaining)


def _row(name: str, dataset: Path, workdir: Path, seed: int) -> bool:
    workdir.mkdir()
    request = {"kind": "finetune", "dataset": "mnist", "model": "mnist", "task": "image_classification", "seed": seed}
    spec = TypeAdapter[Spec](Spec).validate_python({**request, "architecture": name})
    began = time.process_time()
    result = train(spec, dataset, workdir, device="cpu")
    seconds = time.process_time() - began
    test, validation = result.metrics["test/accuracy"], result.metrics["validation/accuracy"]
    remaining = test >= ACCURACY and seconds <= CPU_SECONDS
    epochs = (result.report or {})["training"]["epochs"]
    sizes = f"{result.package.manifest.parameters:>10,} {epochs:>6}"
    figure(f"{name}: test accuracy", test * 100, unit="%", aim=f">= {ACCURACY * 100:g}", note=f"{seconds:.0f} CPU s")
    print(
        f"{name:<14} {sizes} {validation:>10.2%} {test:>8.2%} {seconds:>6.0f}  {'kept' if remaining else 'MISSED'}",
        flush=True,
    )
    return remaining


if __name__ == "__main__":
    main()
