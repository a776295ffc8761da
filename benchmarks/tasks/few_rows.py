"""Small datasets: the default recipe with and without its adjustments.

`recipe` trains in batches and epochs as recipes say for thousands of rows, `now` with the adjustments for few rows. The
training rows are a random sample of a public dataset, or images drawn here, of classes that are easy to tell apart;
other rows are evaluated. CPU seconds cover everything from spec to package.

    python -m benchmarks.tasks.few_rows                                every case, both ways
    python -m benchmarks.tasks.few_rows --cases shades digits --architectures cnn --ways now --set min_steps=400
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import random
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from benchmarks.tasks.text_classification import minilm
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DATA: Final = SHARED_DATA
SIDE: Final = 32
WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PICTURES: Final = ("cnn", "resnet", "alexnet", "inception_v3")
MINILM: Final = "minilm"
WAYS: Final = {"recipe": {"min_steps": 1, "min_batches_per_epoch": 1}, "now": {}}

ImageArray = tuple[str, "np.ndarray"]


@dataclass(frozen=True, slots=True)
class Case:
    """Small dataset: `write` makes the files of a number of training rows."""

    task: str
    metric: str
    rows: Sequence[int]
    #: An empty name is the task's usual one.
    architectures: Sequence[str]
    write: Callable[[Path, int, random.Random], list[Path]]


def shades(rng: np.random.Generator) -> Iterator[ImageArray]:
    """Dark or light, and noisy."""
    while True:
        for label, mean in (("dark", 80), ("light", 170)):
            yield label, rng.normal(mean, 40, size=(SIDE, SIDE, 3))


def shapes(rng: np.random.Generator) -> Iterator[ImageArray]:
    """A disc, a square or a cross of any color, anywhere, before another color."""
    y, x = np.mgrid[:SIDE, :SIDE]
    while True:
        for label in ("disc", "square", "cross"):
            radius = rng.integers(5, 10)
            down, right = (np.abs(axis - rng.integers(radius, SIDE - radius)) for axis in (y, x))
            inside = {
                "disc": down**2 + right**2 <= radius**2,
                "square": np.maximum(down, right) <= radius * 0.85,
                "cross": (np.minimum(down, right) <= radius / 4) & (np.maximum(down, right) <= radius),
            }[label]
            ground, color = rng.permutation([rng.integers(0, 100, 3), rng.integers(130, 256, 3)])
            yield label, np.where(inside[..., None], color, ground) + rng.normal(0, 15, size=(SIDE, SIDE, 3))


def digits(rng: np.random.Generator) -> Iterator[ImageArray]:
    """Return MNIST's training images in random order."""
    pixels, labels = (
        np.frombuffer(gzip.decompress((DATA / "mnist" / f"train-{name}-ubyte.gz").read_bytes()), np.uint8)
        for name in ("images-idx3", "labels-idx1")
    )
    for row in rng.permutation(len(labels) - 8):
        yield str(labels[8 + row]), pixels[16:].reshape(-1, 28, 28)[row]


def images(drawn: Callable[[np.random.Generator], Iterator[ImageArray]]) -> Callable[..., list[Path]]:
    """Write a zip of class folders with a thousand test rows."""

    def write(folder: Path, rows: int, rng: random.Random) -> list[Path]:
        source = drawn(np.random.default_rng(rng.getrandbits(32)))
        with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
            for number in range(rows + 1000):
                label, pixels = next(source)
                file = io.BytesIO()
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "png")
                archive.writestr(f"{'train' if number < rows else 'test'}/{label}/{number}.png", file.getvalue())
        return [folder / "pictures.zip"]

    return write


def sentences(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """SST-2; 600 sentences to test on."""
    for split, count in (("train", rows), ("test", 600)):
        lines = (DATA / "sst2" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
        (folder / f"{split}.tsv").write_text("\n".join(rng.sample(lines, count)), encoding="utf-8")
    return [folder / "train.tsv", folder / "test.tsv"]


def cells(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """Write BCCD with its test images."""
    names = {split: (DATA / "bccd/ImageSets/Main" / f"{split}.txt").read_text().split() for split in ("train", "test")}
    names["train"] = rng.sample(names["train"], rows)
    with zipfile.ZipFile(folder / "cells.zip", "w") as archive:
        for split, listed in names.items():
            archive.writestr(f"ImageSets/Main/{split}.txt", "\n".join(listed))
            for name in listed:
                for file in (f"JPEGImages/{name}.jpg", f"Annotations/{name}.xml"):
                    archive.write(DATA / "bccd" / file, file)
    return [folder / "cells.zip"]


def clips(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """FSDD with transcripts; all takes 0 to 4 to test on."""
    return _write_clips(folder, rows, rng, column="text")


def spoken_digits(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """FSDD with classes; all takes 0 to 4 to test on."""
    return _write_clips(folder, rows, rng, column="label")


def _write_clips(folder: Path, rows: int, rng: random.Random, *, column: str) -> list[Path]:
    result = sorted((DATA / "fsdd" / "recordings").glob("*.wav"))
    test = [path for path in result if int(path.stem.rpartition("_")[2]) < 5]
    used = [(path, "train") for path in rng.sample(sorted({*result} - {*test}), rows)]
    lines = [f"file_name,{column},speaker,split"]
    with zipfile.ZipFile(folder / "recordings.zip", "w") as archive:
        for path, split in used + [(path, "test") for path in test]:
            digit, speaker, _ = path.stem.split("_")
            archive.write(path, f"recordings/{path.name}")
            lines.append(f"recordings/{path.name},{WORDS[int(digit)]},{speaker},{split}")
        archive.writestr("metadata.csv", "\n".join(lines))
    return [folder / "recordings.zip"]


def films(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """Write MovieLens ratings of `rows` users over the hundred most rated movies."""
    with (DATA / "movielens-latest-small" / "ratings.csv").open(newline="") as file:
        head, *ratings = csv.reader(file)
    usual = {film for film, _ in Counter(rating[1] for rating in ratings).most_common(100)}
    people = set(rng.sample(sorted({rating[0] for rating in ratings}), rows))
    with (folder / "ratings.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [head, *(rating for rating in ratings if rating[0] in people and rating[1] in usual)]
        )
    return [folder / "ratings.csv"]


def verses(folder: Path, rows: int, _: random.Random) -> list[Path]:
    """Write `rows` characters of Shakespeare, and the next 4,000 as the test."""
    text = (DATA / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    (folder / "train.txt").write_text(text[:rows], encoding="utf-8")
    (folder / "test.txt").write_text(text[rows : rows + 4000], encoding="utf-8")
    return [folder / "train.txt", folder / "test.txt"]


def symbols(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """Emoji with their captions; all 218 of the test split to test on."""
    head, *lines = (DATA / "emoji-noto" / "captions.tsv").read_text(encoding="utf-8").splitlines()
    by_split = {split: [line for line in lines if line.split("\t")[1] == split] for split in ("train", "test")}
    remaining = rng.sample(by_split["train"], rows) + by_split["test"]
    with zipfile.ZipFile(folder / "symbols.zip", "w") as archive:
        archive.writestr("captions.tsv", "\n".join([head, *remaining]))
        for name in (line.partition("\t")[0] for line in remaining):
            archive.write(DATA / "emoji-noto" / "images" / name, f"images/{name}")
    return [folder / "symbols.zip"]


def pairs(folder: Path, rows: int, rng: random.Random) -> list[Path]:
    """English and German captions of Multi30k; 100 to test on."""
    for split, name, count in (("train", "train", rows), ("test", "test_2016_flickr", 100)):
        sides = {
            language: gzip.decompress((DATA / "multi30k-en-de" / f"{name}.{language}.gz").read_bytes()).decode()
            for language in ("en", "de")
        }
        both = rng.sample(list(zip(*(side.splitlines() for side in sides.values()), strict=True)), count)
        for language, texts in zip(sides, zip(*both, strict=True), strict=True):
            (folder / f"{split}.{language}").write_text("\n".join(texts), encoding="utf-8")
    return sorted(folder.glob("*.*"))


CASES: Final[Mapping[str, Case]] = {
    "shades": Case("image_classification", "accuracy", (60, 100, 300), PICTURES, images(shades)),
    "shapes": Case("image_classification", "accuracy", (60, 100, 300), PICTURES, images(shapes)),
    "digits": Case("image_classification", "accuracy", (100, 300), PICTURES, images(digits)),
    "sentences": Case("text_classification", "accuracy", (100, 300), ("rnn", "transformer", MINILM), sentences),
    "cells": Case("object_detection", "map50", (60,), ("",), cells),
    "recordings": Case("speech_recognition", "word_error_rate", (100,), ("",), clips),
    "spoken_digits": Case("audio_classification", "accuracy", (100,), ("",), spoken_digits),
    "films": Case("recommendation", "hit_rate_at_10", (60,), ("",), films),
    "verses": Case("text_generation", "bits_per_character", (20_000,), ("",), verses),
    "symbols": Case("image_text_matching", "text_recall_at_10", (100, 300), ("",), symbols),
    "pairs": Case("translation", "chrf", (300,), ("",), pairs),
    "drawings": Case("image_generation", "negative_elbo", (100,), ("",), images(digits)),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--architectures", nargs="+", help="default: those of the case")
    parser.add_argument("--rows", type=int, nargs="+", help="default: those of the case")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=NUMBER", help="anything else of the schedule")
    arguments = parse_args(parser)
    head = ("case", "architecture", "rows", "seed", "way", "epochs", "steps", "metric", "baseline", "CPU s")
    print("{:<11} {:<12} {:>6} {:>4} {:<6} {:>6} {:>5}  {:<18} {:>8} {:>8} {:>6}".format(*head[:7], "", *head[7:]))
    more = {name: float(value) for name, _, value in (item.partition("=") for item in arguments.set)}
    for name in arguments.cases:
        case = CASES[name]
        for rows in arguments.rows or case.rows:
            for seed in arguments.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    _rows(name, rows, seed, arguments, more, Path(folder))


def _rows(
    name: str, rows: int, seed: int, arguments: argparse.Namespace, more: Mapping[str, float], folder: Path
) -> None:
    case = CASES[name]
    sources = case.write(folder, rows, random.Random(seed))
    report = import_dataset(sources, folder / "dataset", task=case.task, tasks=TASKS)
    if report.state != "ready":
        raise SystemExit(f"{name} was rejected: {report.errors}")
    for architecture in arguments.architectures or case.architectures:
        for way in arguments.ways:
            base = minilm(folder) if architecture == MINILM and not (folder / MINILM).exists() else folder / MINILM
            request: dict[str, Any] = {"architecture": architecture} if architecture else {}
            if architecture == MINILM:
                request = {"start_from": MINILM}
            cells, value = _run(
                case, folder, base if architecture == MINILM else None, seed, {**WAYS[way], **more}, request
            )
            figure(f"{name}, {architecture or 'usual'}, {rows} rows, {way}: {case.metric}", value, unit="")
            print(f"{name:<11} {architecture or 'usual':<12} {rows:>6} {seed:>4} {way:<6} {cells}", flush=True)


def _run(
    case: Case, folder: Path, base: Path | None, seed: int, schedule: Mapping[str, float], options: Mapping[str, Any]
) -> tuple[str, float]:
    spec = TypeAdapter[Spec](Spec).validate_python(
        {"kind": "finetune", "dataset": "few", "model": "few", "task": case.task, "seed": seed, "schedule": schedule}
        | dict(options)
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = train(spec, folder / "dataset", Path(work), start_from=base, device="cpu")
    seconds = time.process_time() - began
    report = made.report or {}
    training, result, baseline = report["training"], report["metrics"], report["baseline"]
    text = (
        f"{training['epochs']:>6} {training['steps']:>5}  {case.metric:<18} {result[case.metric]:>8.3f} "
        f"{baseline.get(case.metric, float('nan')):>8.3f} {seconds:>6.1f}"
    )
    return text, result[case.metric]


if __name__ == "__main__":
    main()
