"""Emoji and their names: retrieval in both directions, and zero-shot categories.

`python -m benchmarks.tasks.matching` packs `captions.tsv` and `images/` as a user would, trains with the default recipe
on images of half their size, and asks the finished model which of ten categories each test image belongs to: none of
them was learned.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "emoji-noto"
TASK = "image_text_matching"


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of captions.tsv and images/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parse_args(parser)
    if not (arguments.data / "captions.tsv").exists():
        sys.exit(f"skipped: there is no captions.tsv in {arguments.data}; name its folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        archive, dataset = Path(folder) / "emoji.zip", Path(folder) / "dataset"
        with zipfile.ZipFile(archive, "w") as packed:
            for path in (arguments.data / "captions.tsv", *sorted((arguments.data / "images").iterdir())):
                packed.write(path, path.relative_to(arguments.data))
        report = import_dataset([archive], dataset, task=TASK, tasks=TASKS)
        if report.state != "ready":
            sys.exit(f"the data was rejected: {report.errors}")
        for seed in arguments.seeds:
            _run(dataset, Path(folder) / str(seed), seed, arguments.data)


def _run(dataset: Path, folder: Path, seed: int, data: Path) -> None:
    folder.mkdir()
    half = {"image": {"height": 32, "width": 32}}
    request = {"kind": "finetune", "dataset": "emoji", "task": TASK, "model": "emoji", "seed": seed, "encoders": half}
    began = time.process_time()
    spec = TypeAdapter[Spec](Spec).validate_python(request)
    made = train(spec, dataset, folder, device="cpu")
    seconds = time.process_time() - began
    assert made.report is not None, "a task was trained"
    rows, epochs = made.report["rows"], made.report["training"]["epochs"]
    parameters = f"{made.package.manifest.parameters:,} parameters"
    print(f"seed {seed}: {rows} test pairs, {parameters}, {epochs} epochs, {seconds:.0f} CPU s")
    print(f"{'':<18} {'R@1':>7} {'R@5':>7} {'R@10':>7}")
    for name, result in (("reached", made.report["metrics"]), ("chance", made.report["baseline"])):
        for sought in ("text", "image"):
            if name == "reached":
                figure(f"{sought}: R@10, seed {seed}", result[f"{sought}_recall_at_10"] * 100, unit="%")
            recalls = " ".join(f"{result[f'{sought}_recall_at_{depth}']:>7.2%}" for depth in (1, 5, 10))
            print(f"{name + ', ' + sought:<18} {recalls}", flush=True)
    _by_category(Predictor.load(made.package), data)


def _by_category(predictor: Predictor, data: Path) -> None:
    with (data / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "test"]
    counts = Counter(row["category"] for row in rows)
    inputs = [{"image": (data / "images" / row["file"]).read_bytes(), "candidates": list(counts)} for row in rows]
    answers = predictor.predict(inputs)
    right = sum(answer["scores"][0]["text"] == row["category"] for answer, row in zip(answers, rows, strict=True))
    largest = counts.most_common(1)[0][1] / len(rows)
    print(f"zero-shot category of {len(counts)}: {right / len(rows):.2%} (the largest has {largest:.2%})", flush=True)


if __name__ == "__main__":
    main()
