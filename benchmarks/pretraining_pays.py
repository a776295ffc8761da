"""What pretraining without labels gains where labels are few: MNIST, fine-tuned with 100 and with 1,000 of them.

Arms, each with the same number of steps and the same search for a learning rate on validation rows:

- scratch: from random weights
- scratch + augmentation: the same, its training pictures turned, scaled and shifted
- contrastive views, masked images: from a base model that saw unlabelled pictures, by that objective
- contrastive views + augmentation
- scratch (vae), evidence bound: the same for the network that gives a latent code, which has no maps to mask

The step from the first to the second is what augmentation alone gives. Gains are over scratch of the same network. Mean
and range over seeds, which choose the labelled rows, the weights and the order. Of the rates tried only the one that
validation chose is judged on test rows.
"""

from __future__ import annotations

import argparse
import gzip
import struct
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ml.data.importing import import_dataset
from ml.learning.train import TrainingResult, train
from ml.spec import Spec

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "mnist"
VALIDATION_ROWS = 500
BATCH_ROWS = 50
LEARNING_RATES = (0.001, 0.003, 0.01)
ARMS = {
    "scratch": ("cnn", None, "off"),
    "scratch + augmentation": ("cnn", None, "light"),
    "contrastive views": ("cnn", "contrastive_views", "off"),
    "contrastive views + augmentation": ("cnn", "contrastive_views", "light"),
    "masked images": ("cnn", "masked_image_modelling", "off"),
    "scratch (vae)": ("vae", None, "off"),
    "evidence bound": ("vae", "evidence_lower_bound", "off"),
}
"""Architecture, objective that it is pretrained with, augmentation of fine-tuning."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best by validation of one arm and seed."""

    test: float
    learning_rate: float


def read(folder: Path, name: str) -> np.ndarray:
    """One IDX file of bytes."""
    content = gzip.decompress((folder / name).read_bytes())
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def write(folder: Path, rows: dict[str, tuple[np.ndarray, np.ndarray | None]]) -> Path:
    """A dataset of the splits given, by way of IDX files."""
    folder.mkdir(parents=True)
    sources, splits = [], {}
    for split, (images, labels) in rows.items():
        for kind, values in (("images", images), ("labels", labels)):
            if values is None:
                continue
            path = folder / f"{split}-{kind}-idx{values.ndim}-ubyte"
            path.write_bytes(struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes())
            sources.append(path)
            splits[path.name] = split
    report = import_dataset(sources, folder / "dataset", splits=splits)
    if report.state != "ready":
        sys.exit(f"the rows were rejected: {report.errors}")
    return folder / "dataset"


def run(dataset: Path, folder: Path, base: Path | None = None, **asked: Any) -> TrainingResult:
    """One run of the product's own `train`."""
    folder.mkdir(parents=True)
    spec = TypeAdapter[Spec](Spec).validate_python({"dataset": "mnist", "model": "mnist", **asked})
    return train(
        spec, dataset, folder, start_from=base, device="cpu", on_progress=lambda _: None, should_stop=lambda: None
    )


def fine_tune(
    dataset: Path, folder: Path, base: Path | None, *, architecture: str, augmentation: str, epochs: int, seed: int
) -> Found:
    """Every learning rate; the one with the best validation accuracy is judged."""
    origin: dict[str, Any] = {"start_from": "base"} if base else {"architecture": architecture}
    runs: list[tuple[float, float, float]] = []
    for rate in LEARNING_RATES:
        schedule = {"epochs": epochs, "batch_size": BATCH_ROWS, "learning_rate": rate}
        result = run(
            dataset,
            folder / f"{rate}",
            base,
            kind="finetune",
            task={"name": "image_classification", "config": {"augmentation": augmentation}},
            schedule=schedule,
            seed=seed,
            **origin,
        )
        runs.append((result.metrics["validation/accuracy"], result.metrics["test/accuracy"], rate))
    _, test, rate = max(runs)
    return Found(test, rate)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--unlabelled", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5, help="of pretraining")
    parser.add_argument("--steps", type=int, default=400, help="of fine-tuning")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    arguments = parser.parse_args()
    if not (arguments.data / "train-images-idx3-ubyte.gz").is_file():
        sys.exit(f"skipped: no MNIST files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        _measure(arguments, Path(folder))


def _measure(arguments: argparse.Namespace, folder: Path) -> None:
    images = read(arguments.data, "train-images-idx3-ubyte.gz")
    labels = read(arguments.data, "train-labels-idx1-ubyte.gz")
    test = (read(arguments.data, "t10k-images-idx3-ubyte.gz"), read(arguments.data, "t10k-labels-idx1-ubyte.gz"))
    found: dict[tuple[int, str], list[Found]] = {}
    pretraining: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        order = np.random.default_rng(seed).permutation(len(images))
        unlabelled, order = order[: arguments.unlabelled], order[arguments.unlabelled :]
        held_out, order = order[:VALIDATION_ROWS], order[VALIDATION_ROWS:]
        pictures = write(folder / f"unlabelled-{seed}", {"train": (images[unlabelled], None)})
        bases: dict[str, Path] = {}
        for architecture, objective, _ in (ARMS[arm] for arm in arguments.arms):
            if objective is None or objective in bases:
                continue
            began = time.process_time()
            bases[objective] = run(
                pictures,
                folder / f"{objective}-{seed}",
                kind="pretrain",
                objective=objective,
                architecture=architecture,
                schedule={"epochs": arguments.epochs},
                seed=seed,
            ).package.directory
            pretraining.setdefault(objective, []).append(time.process_time() - began)
        for count in arguments.labels:
            rows = {"train": order[:count], "validation": held_out}
            splits = {split: (images[chosen], labels[chosen]) for split, chosen in rows.items()}
            dataset = write(folder / f"labelled-{count}-{seed}", {**splits, "test": test})
            for arm in arguments.arms:
                architecture, objective, augmentation = ARMS[arm]
                judged = fine_tune(
                    dataset,
                    folder / f"{arm}-{count}-{seed}",
                    bases[objective] if objective else None,
                    architecture=architecture,
                    augmentation=augmentation,
                    epochs=max(1, arguments.steps * BATCH_ROWS // count),
                    seed=seed,
                )
                found.setdefault((count, arm), []).append(judged)
                told = f"{judged.test:.2%} at {judged.learning_rate}"
                print(f"  seed {seed}, {count} labels, {arm}: {told}", file=sys.stderr)
    for objective, seconds in pretraining.items():
        size = f"{arguments.unlabelled:,} pictures, {arguments.epochs} epochs"
        print(f"{objective}: {size}, {mean(seconds):.0f} CPU s")
    print(f"\n{'labels':>6}  {'arm':<32} {'test':>7}  {'range':<18} {'over scratch':>12}")
    for (count, arm), runs in found.items():
        scores = [each.test for each in runs]
        scratch = found.get((count, "scratch (vae)" if ARMS[arm][0] == "vae" else "scratch"))
        gain = f"{(mean(scores) - mean(each.test for each in scratch)) * 100:+.1f} points" if scratch else ""
        print(f"{count:>6}  {arm:<32} {mean(scores):>7.2%}  {min(scores):.2%} to {max(scores):.2%}  {gain:>12}")


if __name__ == "__main__":
    main()
