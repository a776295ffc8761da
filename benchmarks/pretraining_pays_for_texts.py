"""What pretraining without labels gains for texts where labels are few: sentiment of film reviews (SST-2).

Arms, each the same network (`rnn`), the same number of steps, and the same search for a learning rate on validation
rows:

- scratch: from random weights, its tokenizer learned from the labelled sentences alone
- tokenizer alone: from a base model that has read all sentences to learn a tokenizer, and whose weights are random
- pretrained: from a base model that filled the gaps of all training sentences (`masked_language_modelling`)

The step from the first to the second is what the tokenizer alone gives. Mean and range over seeds, which choose the
labelled rows, the order and the weights of the first; base models are made once. Of the rates tried only the one that
validation chose is judged on test rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ml.data.importing import import_dataset
from ml.learning.train import TrainingResult, train
from ml.spec import Spec

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "sst2"
BATCH_ROWS = 25
LEARNING_RATES = (0.001, 0.003, 0.01)
UNTRAINED = 1e-12
"""The learning rate of a base model that keeps its random weights."""
ARMS = ("scratch", "tokenizer alone", "pretrained")


@dataclass(frozen=True, slots=True)
class Found:
    """The best by validation of one arm and seed."""

    test: float
    learning_rate: float


def run(dataset: Path, folder: Path, base: Path | None = None, **asked: Any) -> TrainingResult:
    """One run of the product's own `train`."""
    folder.mkdir(parents=True)
    spec = TypeAdapter[Spec](Spec).validate_python({"dataset": "sst2", "model": "sst2", **asked})
    return train(
        spec, dataset, folder, start_from=base, device="cpu", on_progress=lambda _: None, should_stop=lambda: None
    )


def imported(folder: Path, splits: dict[str, Sequence[str]], *, task: str | None) -> Path:
    """A dataset of the lines given, by way of tab-separated files."""
    folder.mkdir(parents=True)
    sources = [folder / f"{split}.tsv" for split in splits]
    for source, lines in zip(sources, splits.values(), strict=True):
        source.write_text("".join(f"{line}\n" for line in ("text\tlabel", *lines)), encoding="utf-8")
    report = import_dataset(sources, folder / "dataset", task=task)
    if report.state != "ready":
        sys.exit(f"the rows were rejected: {report.errors}")
    return folder / "dataset"


def fine_tune(dataset: Path, folder: Path, base: Path | None, *, epochs: int, seed: int) -> Found:
    """Every learning rate; the one with the best validation accuracy is judged."""
    origin: dict[str, Any] = {"start_from": "base"} if base else {"architecture": "rnn"}
    runs: list[tuple[float, float, float]] = []
    for rate in LEARNING_RATES:
        schedule = {"epochs": epochs, "batch_size": BATCH_ROWS, "learning_rate": rate}
        asked = {"kind": "finetune", "task": "text_classification", "schedule": schedule, "seed": seed, **origin}
        result = run(dataset, folder / f"{rate}", base, **asked)
        runs.append((result.metrics["validation/accuracy"], result.metrics["test/accuracy"], rate))
    _, test, rate = max(runs)
    return Found(test, rate)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, nargs="+", default=[200])
    parser.add_argument("--epochs", type=int, default=20, help="of pretraining")
    parser.add_argument("--steps", type=int, default=200, help="of fine-tuning")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    arguments = parser.parse_args()
    if not (arguments.data / "train.tsv").is_file():
        sys.exit(f"skipped: no SST-2 files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        _measure(arguments, Path(folder))


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    train_rows, dev, test = (
        (arguments.data / f"{name}.tsv").read_text(encoding="utf-8").splitlines() for name in ("train", "dev", "test")
    )
    bases = _bases(arguments, folder, {"train": train_rows, "validation": dev})
    found: dict[tuple[int, str], list[Found]] = {}
    for seed in arguments.seeds:
        order = np.random.default_rng(seed).permutation(len(train_rows))
        for count in arguments.labels:
            labelled = [train_rows[row] for row in order[:count]]
            rows = {"train": labelled, "validation": dev, "test": test}
            dataset = imported(folder / f"labelled-{count}-{seed}", rows, task="text_classification")
            epochs = max(1, arguments.steps * BATCH_ROWS // count)
            for arm in arguments.arms:
                where = folder / f"{arm}-{count}-{seed}"
                judged = fine_tune(dataset, where, bases.get(arm), epochs=epochs, seed=seed)
                found.setdefault((count, arm), []).append(judged)
                told = f"  seed {seed}, {count} labels, {arm}: {judged.test:.2%} at {judged.learning_rate}"
                print(told, file=sys.stderr, flush=True)
    print(f"{'labels':>6}  {'arm':<16} {'test':>7}  {'range':<18} {'over scratch':>12}")
    for (count, arm), runs in found.items():
        scores = [each.test for each in runs]
        scratch = found.get((count, "scratch"))
        gain = f"{(mean(scores) - mean(each.test for each in scratch)) * 100:+.1f} points" if scratch else ""
        print(f"{count:>6}  {arm:<16} {mean(scores):>7.2%}  {min(scores):.2%} to {max(scores):.2%}  {gain:>12}")


def _bases(arguments: argparse.Namespace, folder: Path, rows: dict[str, Sequence[str]]) -> dict[str, Path]:
    """Arm -> the base model that it starts from."""
    wanted = {"tokenizer alone": {"epochs": 1, "learning_rate": UNTRAINED}, "pretrained": {"epochs": arguments.epochs}}
    texts = imported(folder / "texts", rows, task=None)
    bases = {}
    for arm in [arm for arm in wanted if arm in arguments.arms]:
        began = time.process_time()
        asked: dict[str, Any] = {"kind": "pretrain", "objective": "masked_language_modelling", "architecture": "rnn"}
        made = run(texts, folder / f"base-{arm}", schedule=wanted[arm], **asked)
        gaps = made.metrics["validation/masked_accuracy"]
        print(f"{arm}: {gaps:.1%} of the gaps filled, {time.process_time() - began:.0f} CPU s", flush=True)
        bases[arm] = made.package.directory
    return bases


if __name__ == "__main__":
    main()
