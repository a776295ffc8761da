"""MNIST: -ELBO of the default recipe, and how often samples show the requested class.

The judge is a classifier trained on the same real images. Its accuracy on real test images is printed beside, as the
limit of what it can say about samples. `--sheet` writes samples as one image, a column for each class.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.files import images
from ml.data.importing.importer import import_dataset
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "mnist"
NATS = 104
JUDGED_RIGHT = 0.8
JUDGE_EPOCHS = 2
SHEET_ROWS = 10
#: White pixels between two samples of the sheet.
EDGE = 2


def run(dataset: Path, workdir: Path, seed: int, **request: Any) -> tuple[TrainingResult, float]:
    """One training, and its CPU seconds."""
    workdir.mkdir()
    spec = TypeAdapter[Spec](Spec).validate_python(
        {"kind": "finetune", "dataset": "mnist", "model": "mnist", "seed": seed, **request}
    )
    began = time.process_time()
    result = train(spec, dataset, workdir, device="cpu")
    return result, time.process_time() - began


def sheet(pngs: list[bytes], columns: int) -> bytes:
    """PNGs side by side, row by row, as one."""
    cells = [np.pad(images.decode(image)[:, :, 0], EDGE, constant_values=255) for image in pngs]
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return images.encode_png(np.concatenate(rows)[:, :, None])


def main() -> None:
    """Print the metrics; ends with 1 if one misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the four IDX files")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--preset", default="small", help="of the vae")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--sheet", type=Path, help="where to write a PNG of samples")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    files = sorted(arguments.data.glob("*-ubyte*"))
    if not files:
        sys.exit(f"skipped: no MNIST files in {arguments.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        report = import_dataset(files, dataset, task="image_classification")
        if report.state != "ready":
            sys.exit(f"MNIST was rejected: {report.errors}")
        remaining = _measure(dataset, Path(folder), arguments)
    sys.exit(not remaining)


def _measure(dataset: Path, folder: Path, arguments: argparse.Namespace) -> bool:
    chosen = {"name": "vae", "config": {"preset": arguments.preset}}
    schedule = {"epochs": arguments.epochs} if arguments.epochs else {}
    made, seconds = run(
        dataset, folder / "vae", arguments.seed, task="image_generation", architecture=chosen, schedule=schedule
    )
    result, baseline = (made.report or {})["metrics"], (made.report or {})["baseline"]
    bound = result["negative_elbo"]
    size = made.package.manifest.parameters
    print(f"vae {arguments.preset}, {size:,} parameters, {seconds:.0f} CPU s")
    print(f"-ELBO on test: {bound:.1f} nats (mean image: {baseline['negative_elbo']:.1f})", flush=True)

    drawer = Predictor.load(made.package)
    labels = list(made.package.manifest.labels or [])
    expected = [labels[index % len(labels)] for index in range(arguments.samples)]
    drawn = drawer.predict([{"label": label, "seed": seed} for seed, label in enumerate(expected)])
    if arguments.sheet:
        arguments.sheet.write_bytes(sheet([_png(item) for item in drawn[: SHEET_ROWS * len(labels)]], len(labels)))
    judging, _ = run(
        dataset,
        folder / "judge",
        arguments.seed,
        task="image_classification",
        architecture="cnn",
        schedule={"epochs": JUDGE_EPOCHS},
    )
    judge = Predictor.load(judging.package)
    answers = judge.predict([{"image": item["image"]} for item in drawn])
    right = float(np.mean([answer["label"] == label for answer, label in zip(answers, expected, strict=True)]))
    print(f"samples judged as what was asked: {right:.1%} of {len(expected):,}")
    print(f"the judge is right on real images: {judging.metrics['test/accuracy']:.1%}")
    figure("negative evidence lower bound", bound, unit="nats per image", aim=f"<= {NATS}", note=f"{seconds:.0f} CPU s")
    figure("samples classified as the requested digit", right * 100, unit="%", aim=f">= {JUDGED_RIGHT * 100:g}")
    remaining = bound <= NATS and right >= JUDGED_RIGHT
    print("kept" if remaining else "MISSED")
    return remaining


def _png(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["image"])


if __name__ == "__main__":
    main()
