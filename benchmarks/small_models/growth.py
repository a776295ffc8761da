"""Growth: a grown network beside one of its size from scratch.

The small network is trained by its recipe, grown to the large one, and trained for a fraction of the epochs that the
large one takes from scratch, on the same rows. Images are those of MNIST, text is tinyshakespeare.

    python -m benchmarks.small_models.growth
    python -m benchmarks.small_models.growth --cases gpt --fractions 0.3 0.6
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.record import figure, parse_args
from benchmarks.small_models.mnist import import_mnist, run_training
from ml.data.importing.importer import import_dataset
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.pipeline.train import TrainingResult


@dataclass(frozen=True, slots=True)
class Case:
    """An architecture, options of a small and a large network, and their metric."""

    task: str
    small: Mapping[str, Any]
    large: Mapping[str, Any]
    metric: str
    is_higher_better: bool
    epochs: int


CASES: Final = {
    "cnn": Case(
        "image_classification",
        {"stages": [[8, 8], [16, 16], [32]]},
        {"stages": [[16, 16], [32, 32], [64]]},
        metric="accuracy",
        is_higher_better=True,
        epochs=10,
    ),
    "gpt": Case(
        "text_generation", {"layers": 2}, {"layers": 4}, "bits_per_character", is_higher_better=False, epochs=5
    ),
}


def import_case(name: str, folder: Path, *, rows: int, characters: int) -> Path:
    """Import images, or the beginning of a text."""
    if name == "cnn":
        return import_mnist(folder, rows=rows)
    text = (SHARED_DATA / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")[:characters]
    files = []
    for split, start, end in (("train", 0.0, 0.8), ("validation", 0.8, 0.9), ("test", 0.9, 1.0)):
        files.append(folder / f"{split}.txt")
        files[-1].write_text(text[int(start * len(text)) : int(end * len(text))], encoding="utf-8")
    report = import_dataset(files, folder / "dataset", task="text_generation")
    if report.state != "ready":
        raise SystemExit(f"the text cannot be imported: {report.errors}")
    return folder / "dataset"


def run(name: str, dataset: Path, folder: Path, *, fractions: list[float], learning_rate: float | None) -> None:
    """Train all networks of a case, and print how far the grown ones are ahead."""
    case = CASES[name]
    rate = {"learning_rate": learning_rate} if learning_rate else {}

    def train(label: str, options: Mapping[str, Any], epochs: int, **more: Any) -> TrainingResult:
        schedule = {"epochs": epochs, **(rate if more else {})}
        architecture = {"name": name, "config": dict(options)}
        fields = {"task": case.task, "architecture": architecture, "schedule": schedule}
        result = run_training(fields, dataset, folder / label, **more)
        print(f"{name}, {label}: {result.report['metrics'][case.metric]:.4f}", flush=True)
        figure(f"{name}, {label}: {case.metric}", result.report["metrics"][case.metric], unit="")
        return result

    small = train("small", case.small, case.epochs)
    own = train("large from scratch", case.large, case.epochs).report["metrics"][case.metric]
    for fraction in fractions:
        label = f"grown, {fraction:.0%} of the steps"
        epochs = round(fraction * case.epochs)
        grown = train(label, case.large, epochs, start_from=small.package.directory).report["metrics"][case.metric]
        ahead = grown - own if case.is_higher_better else own - grown
        figure(f"{name}, {label}: {case.metric} ahead of the large one", ahead, unit="", aim=">= 0")


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=5_000, help="training images")
    parser.add_argument("--characters", type=int, default=400_000, help="length of the text")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.6])
    parser.add_argument("--learning-rate", type=float, help="of the grown network; by default that of its recipe")
    options = parse_args(parser)
    for name in options.cases:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            dataset = import_case(name, folder, rows=options.rows, characters=options.characters)
            run(name, dataset, folder, fractions=options.fractions, learning_rate=options.learning_rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
