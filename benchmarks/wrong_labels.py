"""Measure how many planted errors of labels an import finds.

python -m benchmarks.wrong_labels [--fraction 0.05] [--rows 10000]

A fraction of the labels is changed to another class. The table has the precision among as many rows as were planted,
and among all rows of the finding `label_probably_wrong`; the recall; and the CPU seconds of the whole import.
"""

from __future__ import annotations

import argparse
import gzip
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import figure, parse_args
from ml.data.flagged_rows import read_flagged_rows
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

#: Nouns of Multi30k that name the class of a sentence; they are removed from it.
NOUNS = ("dog", "girl", "guitar", "street", "water", "soccer", "snow", "bike")


def read_mnist(rows: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return digits and their classes."""
    with gzip.open(SHARED_DATA / "mnist/train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read()[16:], np.uint8)
    with gzip.open(SHARED_DATA / "mnist/train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)
    return list(images.reshape(-1, 28, 28)[:rows]), labels[:rows].astype(int)


def read_sentences(rows: int) -> tuple[list[str], np.ndarray]:
    """Return descriptions of images without the noun that is their class."""
    texts, labels = [], []
    with gzip.open(SHARED_DATA / "multi30k-en-de/train.en.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            words = line.lower().split()
            matches = [number for number, noun in enumerate(NOUNS) if noun in words]
            if len(matches) == 1:
                texts.append(" ".join(word for word in words if word not in NOUNS))
                labels.append(matches[0])
    return texts[:rows], np.array(labels[:rows])


def read_languages(rows: int) -> tuple[list[str], np.ndarray]:
    """Return English and German sentences."""
    texts: list[str] = []
    for language in ("en", "de"):
        with gzip.open(SHARED_DATA / f"multi30k-en-de/train.{language}.gz", "rt", encoding="utf-8") as lines:
            texts += [line.strip() for _, line in zip(range(rows // 2), lines, strict=False)]
    return texts, np.repeat([0, 1], len(texts) // 2)


def write_texts(folder: Path, values: list[str], labels: np.ndarray) -> list[Path]:
    """Write a table."""
    path = folder / "texts.tsv"
    lines = [f"{value.replace(chr(34), '')}\tclass {label}\n" for value, label in zip(values, labels, strict=True)]
    path.write_text("text\tlabel\n" + "".join(lines), encoding="utf-8")
    return [path]


def write_images(folder: Path, values: list[np.ndarray], labels: np.ndarray) -> list[Path]:
    """Write images in the format of MNIST."""
    images, names = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    images.write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, len(values), 28, 28) + b"".join(v.tobytes() for v in values))
    names.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, len(values)) + labels.astype(np.uint8).tobytes())
    return [images, names]


Values = list[Any]
DATASETS: dict[str, tuple[Callable[[int], tuple[Values, np.ndarray]], Callable[[Path, Values, np.ndarray], Any]]] = {
    "sentences by language": (read_languages, write_texts),
    "sentences by a hidden noun": (read_sentences, write_texts),
    "handwritten digits": (read_mnist, write_images),
}


def measure(name: str, *, fraction: float, rows: int, seed: int = 0) -> str:
    """Plant errors, import the rows, and return a line of the table."""
    read, write = DATASETS[name]
    values, labels = read(rows)
    generator = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    order = generator.permutation(len(values))
    values, labels = [values[row] for row in order], labels[order]
    wrong = generator.choice(len(labels), round(fraction * len(labels)), replace=False)
    noisy_labels = labels.copy()
    noisy_labels[wrong] = (labels[wrong] + generator.integers(1, classes, len(wrong))) % classes
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        start = time.process_time()
        import_dataset(write(folder, values, noisy_labels), folder / "dataset", tasks=TASKS)
        seconds = time.process_time() - start
        flags = read_flagged_rows(folder / "dataset", "label_probably_wrong")
    planted = set(wrong.tolist())
    hits = [flag.row is not None and flag.row - 1 in planted for flag in flags]
    among_planted = sum(hits[: len(planted)]) / max(1, min(len(hits), len(planted)))
    figure(f"precision at the number planted, {name}", among_planted, unit="")
    precision, recall = sum(hits) / max(1, len(hits)), sum(hits) / len(planted)
    return (
        f"{name:28} {len(values):7,} {len(planted):8} {len(flags):8} {among_planted:18.2f} {precision:10.2f} "
        f"{recall:7.2f} {seconds:12.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fraction", type=float, default=0.05, help="fraction of labels to change")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each dataset")
    arguments = parse_args(parser)
    print(
        f"{'dataset':28} {'rows':>7} {'planted':>8} {'reported':>8} {'precision@planted':>18} {'precision':>10} "
        f"{'recall':>7} {'CPU seconds':>12}"
    )
    for name in DATASETS:
        print(measure(name, fraction=arguments.fraction, rows=arguments.rows), flush=True)


if __name__ == "__main__":
    main()
