"""Accuracy with 100 labels from the body of a base of another modality.

A small `transformer` learns a task from 100 labeled rows: from scratch, and from the body of a base model of another
modality, which is trained, or frozen except its norms (Lu et al. 2021). The base of texts has learned to fill in hidden
words of SST-2 (`masked_language_modeling`), that of images the digits of MNIST (`supervised`). All arms have the
default recipe, but for a fixed number of epochs: the recipe ends sooner where validation does not improve. Seeds choose
the labeled rows, the weights and the order; all arms of a seed see the same rows.

    python -m benchmarks.tasks.modality_transfer                                   every direction, three seeds
    python -m benchmarks.tasks.modality_transfer --directions "text to image (mnist)" --seeds 0
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from benchmarks.tasks.few_rows import DATA, WORDS, digits, images, sentences
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.learning.pipeline.train import TrainingResult

LABELS: Final = 100
#: Epochs of every arm: about 540 steps of 11 rows.
EPOCHS: Final = 60
#: Takes of each speaker and word that are the test.
TEST_TAKES: Final = 5
ARCHITECTURE: Final = "transformer"
#: Category of five emoji: a draw of 100 may have fewer than two.
RARE: Final = "Component"


def words(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """Write FSDD as class folders; all takes 0 to 4 to test on."""
    clips = sorted((DATA / "fsdd" / "recordings").glob("*.wav"))
    test = [path for path in clips if int(path.stem.rpartition("_")[2]) < TEST_TAKES]
    used = rng.sample(sorted({*clips} - {*test}), rows)
    with zipfile.ZipFile(folder / "words.zip", "w") as archive:
        for split, paths in (("train", used), ("test", test)):
            for path in paths:
                archive.write(path, f"{split}/{WORDS[int(path.stem[0])]}/{path.name}")
    return [folder / "words.zip"]


def names(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """Write names of emoji with one of nine categories; 218 to test on."""
    head, *lines = (DATA / "emoji-noto" / "captions.tsv").read_text(encoding="utf-8").splitlines()
    emoji = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    emoji = [row for row in emoji if row["category"] != RARE]
    by_split = {split: [row for row in emoji if row["split"] == split] for split in ("train", "test")}
    by_split["train"] = rng.sample(by_split["train"], rows)
    for split, selected in by_split.items():
        table = [f"{row['caption']}\t{row['category']}\n" for row in selected]
        (folder / f"{split}.tsv").write_text("".join(["text\tlabel\n", *table]), encoding="utf-8")
    return [folder / "train.tsv", folder / "test.tsv"]


@dataclass(frozen=True, slots=True)
class LabeledData:
    """Labeled rows of one modality, and how a base model of it is trained."""

    slot: str
    task: str
    write: Callable[[Path, int, random.Random], list[Path]]
    base_rows: int = 0
    pretraining: Mapping[str, Any] | None = None


DATASETS: Final[Mapping[str, LabeledData]] = {
    "sst2": LabeledData(
        "text",
        "text_classification",
        sentences,
        6_900,
        {"objective": "masked_language_modeling", "schedule": {"epochs": 3}},
    ),
    "emoji": LabeledData("text", "text_classification", names),
    "mnist": LabeledData("image", "image_classification", images(digits), 5_000, {"objective": "supervised"}),
    "fsdd": LabeledData("audio", "audio_classification", words),
}
#: Direction -> data of the base model, and of the task.
DIRECTIONS: Final = {
    "image to text (sst2)": ("mnist", "sst2"),
    "image to text (emoji)": ("mnist", "emoji"),
    "text to image (mnist)": ("sst2", "mnist"),
    "text to audio (fsdd)": ("sst2", "fsdd"),
}
#: Arm -> tuning of a run that starts from the base; None starts from scratch.
ARMS: Final[Mapping[str, str | None]] = {"scratch": None, "norms trained": "norms_only", "body trained": "full"}


def main() -> None:
    """Print a table, and a verdict for every direction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directions", nargs="+", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parse_args(parser)
    if not all((DATA / name).is_dir() for name in ("mnist", "sst2", "emoji-noto", "fsdd")):
        sys.exit(f"skipped: no mnist, sst2, emoji-noto and fsdd in {DATA}")
    print(f"{'direction':<22} {'arm':<14} {'test':>7}  {'range':<16} {'crossed':>7} {'CPU s':>6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases: dict[str, Path] = {}
        for direction in arguments.directions:
            source, target = DIRECTIONS[direction]
            if source not in bases:
                bases[source] = _pretrain(source, folder)
            _compare(direction, target, bases[source], arguments.seeds, folder)


def _pretrain(source: str, folder: Path) -> Path:
    data = DATASETS[source]
    began = time.process_time()
    dataset = _import(source, data.base_rows, 0, folder / f"{source}-base")
    result = _train(
        {"kind": "pretrain", "architecture": ARCHITECTURE, **(data.pretraining or {})},
        dataset,
        folder / f"{source}-base",
    )
    print(f"{source} base: {data.base_rows:,} rows, {time.process_time() - began:.0f} CPU s", flush=True)
    return result.package.directory


def _compare(direction: str, target: str, base: Path, seeds: list[int], folder: Path) -> None:
    slot, task = DATASETS[target].slot, DATASETS[target].task
    accuracies: dict[str, list[float]] = {arm: [] for arm in ARMS}
    crossed, seconds = dict.fromkeys(ARMS, 0), dict.fromkeys(ARMS, 0.0)
    for seed in seeds:
        dataset = _import(target, LABELS, seed, folder / f"{direction} {seed}")
        for arm, tuning in ARMS.items():
            start = {"start_from": {slot: "base"}, "tuning": tuning} if tuning else {"architecture": ARCHITECTURE}
            began = time.process_time()
            result = _train(
                {"kind": "finetune", "task": task, "seed": seed, "schedule": {"epochs": EPOCHS}, **start},
                dataset,
                folder / f"{direction} {seed} {arm}",
                **({"start_from": {slot: base}} if tuning else {}),
            )
            seconds[arm] += time.process_time() - began
            accuracies[arm].append(100 * result.metrics["test/accuracy"])
            transfer = result.report["transfer"]
            crossed[arm] = len(transfer["crossed"][slot]["loaded"]) if transfer else 0
    for arm, values in accuracies.items():
        figure(
            f"{direction}, {LABELS} labels, {arm}: test accuracy",
            values,
            unit="%",
            note=f"{seconds[arm] / len(seeds):.0f} CPU s",
        )
        span = f"{min(values):.1f} to {max(values):.1f}"
        cells = f"{mean(values):>7.1f}  {span:<16} {crossed[arm]:>7} {seconds[arm] / len(seeds):>6.1f}"
        print(f"{direction:<22} {arm:<14} {cells}", flush=True)
    print(f"{direction:<22} {_verdict(accuracies)}", flush=True)


def _verdict(accuracies: Mapping[str, list[float]]) -> str:
    """Say which arm is better than scratch for every seed, and by how much."""
    scratch = accuracies["scratch"]
    parts = []
    for arm, values in accuracies.items():
        if arm != "scratch":
            gains = [value - baseline for value, baseline in zip(values, scratch, strict=True)]
            outcome = "pays" if min(gains) > 0 else "does not pay"
            parts.append(f"{arm}: {mean(gains):+.1f} points ({min(gains):+.1f} to {max(gains):+.1f}), {outcome}")
    return "; ".join(parts)


def _import(name: str, rows: int, seed: int, folder: Path) -> Path:
    folder.mkdir()
    data = DATASETS[name]
    report = import_dataset(data.write(folder, rows, random.Random(seed)), folder / "data", task=data.task, tasks=TASKS)
    if report.state != "ready":
        sys.exit(f"the rows of {name} were rejected: {report.errors}")
    return folder / "data"


def _train(request: Mapping[str, Any], dataset: Path, folder: Path, **options: Any) -> TrainingResult:
    spec = TypeAdapter[Spec](Spec).validate_python({"dataset": "rows", "model": "model", **request})
    workdir = folder / "run"
    workdir.mkdir(parents=True)
    return train(spec, dataset, workdir, device="cpu", **options)


if __name__ == "__main__":
    main()
