"""English to German captions: default preset and recipe, greedy and four beams.

`python -m benchmarks.tasks.translation` reads Multi30k (or whatever aligned files `--data` holds), trains in this
process, and answers the test split through the package's graphs as `/predict` would. `--reverse` goes from German to
English; `--epochs` trains longer than the recipe says. BLEU and chrF are sacrebleu's, its signatures below the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.record import figure, parse_args
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.learning.pipeline.train import TrainingResult

DATA = SHARED_DATA / "multi30k-en-de"
SPLITS = ("train", "val", "test_2016_flickr")
BEAMS = (1, 4)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of one search on the test split."""

    beams: int
    bleu: float
    chrf: float
    #: CPU time a text.
    milliseconds: float


def import_pairs(folder: Path, data: Path, *, source: str, splits: Sequence[str] = SPLITS) -> Path:
    """The dataset, or the end of this program with the reasons."""
    from ml.data.importing.importer import import_dataset
    from ml.tasks import TASKS

    files = [path for split in splits for path in sorted(data.glob(f"{split}.*"))]
    if not files:
        sys.exit(f"skipped: no texts in {data}; name their folder with --data")
    report = import_dataset(files, folder / "dataset", task="translation", columns={"text": source}, tasks=TASKS)
    if report.state != "ready":
        sys.exit(f"the texts were rejected: {report.errors}")
    return folder / "dataset"


def train_model(dataset: Path, folder: Path, spec: dict[str, Any]) -> TrainingResult:
    """Train in this process."""
    from pydantic import TypeAdapter

    from ml.learning.pipeline.train import train
    from ml.spec.schema import Spec

    common = {"kind": "finetune", "dataset": "captions", "task": "translation", "model": "captions"}
    expected = TypeAdapter[Spec](Spec).validate_python({**common, "architecture": "transformer", **spec})
    folder.mkdir(parents=True, exist_ok=True)
    return train(expected, dataset, folder, device="cpu")


def search(result: TrainingResult, dataset: Path, beams: int) -> tuple[SearchResult, list[str]]:
    """Answers to the test split by the package's graphs."""
    from ml.data.dataset import Dataset
    from ml.inference.predictor import Predictor
    from ml.metrics.bleu import corpus_scores

    rows = Dataset.open(dataset).rows("test").columns
    predictor = Predictor.load(result.package)
    began = time.process_time()
    answers = [
        answer["text"]
        for answer in predictor.predict([{"text": text} for text in rows["text"]], parameters={"beams": beams})
    ]
    spent = time.process_time() - began
    metrics = corpus_scores(answers, list(rows["target"])).metrics
    return SearchResult(beams, metrics["bleu"], metrics["chrf"], 1e3 * spent / len(answers)), answers


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of aligned files: train.en, train.de, ...")
    parser.add_argument("--reverse", action="store_true", help="from German to English")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    schedule = {} if arguments.epochs is None else {"schedule": {"epochs": arguments.epochs}}
    with tempfile.TemporaryDirectory() as folder:
        dataset = import_pairs(Path(folder), arguments.data, source="de" if arguments.reverse else "en")
        began = time.process_time()
        result = train_model(dataset, Path(folder) / "run", {**schedule, "seed": arguments.seed})
        spent = time.process_time() - began
        report: Mapping[str, Any] = {**result.report}
        manifest = result.package.manifest
        training = report["training"]
        print(f"{manifest.parameters:,} parameters, {training['epochs']} epochs, {training['steps']:,} steps")
        print(
            f"{spent:.0f} s CPU from spec to package; validation: {result.metrics['validation/loss']:.3f} nats a token"
        )
        print("{:<10} {:>6} {:>6} {:>12}".format("search", "BLEU", "chrF", "CPU ms/text"))
        for beams in BEAMS:
            result_value, answers = search(result, dataset, beams)
            name = f"{beams} beam{'s' * (beams > 1)}"
            figure(
                f"{name}: BLEU",
                result_value.bleu,
                unit="",
                note=f"chrF {result_value.chrf:.1f}; {result_value.milliseconds:.1f} CPU ms per text",
            )
            print(f"{name:<10} {result_value.bleu:>6.2f} {result_value.chrf:>6.2f} {result_value.milliseconds:>12.1f}")
        for name in ("source", "constant"):
            baseline = report["baselines"][name]
            print(f"{name:<10} {baseline['bleu']:>6.2f} {baseline['chrf']:>6.2f} {'-':>12}")
        print(json.dumps(report["signatures"]))
        for example, answer in list(zip(report["examples"], answers, strict=False))[:5]:
            print(f"  {example['text']}\n    reference: {example['reference']}\n    answer: {answer}")


if __name__ == "__main__":
    main()
