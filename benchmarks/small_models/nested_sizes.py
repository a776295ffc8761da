"""Nested sizes beside the same sizes trained alone.

Architectures of images learn from rows of MNIST, those of texts from sentences of SST-2.

python -m benchmarks.small_models.nested_sizes
python -m benchmarks.small_models.nested_sizes --rows 60000
python -m benchmarks.small_models.nested_sizes --exits
python -m benchmarks.small_models.nested_sizes --architecture transformer --exits
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.record import figure, parse_args
from benchmarks.small_models.mnist import import_mnist, run_training
from benchmarks.small_models.sst2 import import_sst2
from ml.package.package import ModelPackage

SIZES: Final = (1.0, 0.5, 0.25, 0.125)
#: Architectures that are measured on sentences; all others are on images.
TEXTS: Final = ("bert", "gpt", "rnn", "transformer")


def import_rows(architecture: str, folder: Path, rows: int) -> tuple[Path, dict[str, Any]]:
    """Return the data of an architecture, and the fields of its fine-tuning that name it."""
    if architecture in TEXTS:
        return import_sst2(folder, rows=rows), {"dataset": "sst2", "task": "text_classification"}
    return import_mnist(folder, rows=rows), {"dataset": "mnist", "task": "image_classification"}


def run_exits(*, architecture: str, rows: int, seed: int) -> None:
    """Train the sizes together, and print what early exits save and cost."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset, data = import_rows(architecture, folder, rows)
        fields = {**data, "architecture": architecture, "seed": seed, "sizes": SIZES, "exits": True}
        report = run_training(fields, dataset, folder / "exits").report
        sizes = [f"{size['size']:g}: {100 * (size['metrics']['accuracy'] or 0.0):.2f} %" for size in report["sizes"]]
        if "exits" not in report:
            figure(f"{architecture}, exits: operations", 100, unit="%", aim="<= 50", note=f"{rows} rows; no threshold")
            print(f"no threshold saves operations: {sizes}, {report.get('notes')}", flush=True)
            return
        section = report["exits"]
        fraction = 100 * section["operations_with_exits"] / section["operations"]
        lost = 100 * (section["accuracy"] - section["accuracy_with_exits"])
        note = f"{rows} rows"
        figure(f"{architecture}, exits: operations", fraction, unit="%", aim="<= 50", note=note)
        figure(f"{architecture}, exits: accuracy lost", lost, unit="points", aim="<= 0.3", note=note)
        print(f"{fraction:.1f} % of the operations, {lost:.2f} points lost: {section}, {sizes}", flush=True)


def run(*, architecture: str, rows: int, seed: int) -> None:
    """Train the sizes together, then each alone, and print their accuracies side by side."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset, data = import_rows(architecture, folder, rows)
        start = time.process_time()
        fields = {**data, "architecture": architecture, "seed": seed}
        nested = run_training({**fields, "sizes": SIZES}, dataset, folder / "nested")
        together = time.process_time() - start
        alone = 0.0
        (slot,) = nested.package.manifest.architectures
        for section in nested.report["sizes"]:
            size = section["size"]
            part = nested.package.directory / ("" if size == 1 else f"sizes/{size:g}")
            choice = ModelPackage.open(part).manifest.architectures[slot]
            start = time.process_time()
            single = run_training({**fields, "architecture": choice}, dataset, folder / f"alone-{size:g}")
            alone += time.process_time() - start
            accuracy, own = section["metrics"]["accuracy"] or 0.0, single.report["metrics"]["accuracy"]
            low, high = single.report["intervals"]["accuracy"]
            is_within = 100 * (own - accuracy) <= 1 or low <= accuracy <= high
            label = f"{architecture}, size {size:g}"
            figure(f"{label}: accuracy nested", 100 * accuracy, unit="%")
            figure(f"{label}: accuracy trained alone", 100 * own, unit="%", interval=(100 * low, 100 * high))
            figure(f"{label}: points lost by nesting", 100 * (own - accuracy), unit="points", aim="<= 1")
            for count, milliseconds in section["latency_ms"].items():
                figure(f"{label}: request of {count}", milliseconds, unit="ms")
            print(
                f"size {size:5g}: {section['operations']:9,} operations, {section['parameters']:7,} parameters, "
                f"{section['latency_ms']} ms, accuracy {100 * accuracy:.2f} %, alone {100 * own:.2f} % "
                f"[{100 * low:.2f}, {100 * high:.2f}] {'within' if is_within else 'NOT within'}",
                flush=True,
            )
        figure(f"{architecture}: training of all sizes together", together, unit="CPU s", note=f"{rows} rows")
        figure(f"{architecture}: training of each size alone", alone, unit="CPU s", note=f"{rows} rows")
        print(f"together {together:.0f} CPU s, alone {alone:.0f} CPU s", flush=True)


def main() -> int:
    """Run one architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="cnn")
    parser.add_argument("--rows", type=int, default=10_000, help="training rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exits", action="store_true", help="measure early exits instead")
    options = parse_args(parser)
    measure = run_exits if options.exits else run
    measure(architecture=options.architecture, rows=options.rows, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
