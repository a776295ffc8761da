"""Image datasets: digits, emoji, blood cells, and characters in new fonts."""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.tasks.recipes.case import Case, LabeledFile, split_names, to_png, write_class_folders

FONTS: Final = Path("/usr/share/fonts")
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIDE: Final = 32


def mnist(data: Path, *, rows: int) -> Iterator[LabeledFile]:
    """Handwritten digits, 28 x 28; 1,000 of other writers to test on."""
    rng = np.random.default_rng(rows)
    for name, split, count in (("train", "train", rows), ("t10k", "test", 1000)):
        pixels, labels = (
            np.frombuffer(gzip.decompress((data / "mnist" / f"{name}-{part}-ubyte.gz").read_bytes()), np.uint8)
            for part in ("images-idx3", "labels-idx1")
        )
        for row in rng.permutation(len(labels) - 8)[:count]:
            yield str(labels[8 + row]), split, to_png(pixels[16:].reshape(-1, 28, 28)[row])


def small_digits(_: Path) -> Iterator[LabeledFile]:
    """Handwritten digits of scikit-learn, 8 x 8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for row, split in zip(order, split_names(300, 800), strict=False):
        yield str(digits.target[row]), split, to_png(digits.images[row] * 16)


def emoji(data: Path) -> Iterator[LabeledFile]:
    """Emoji by category: what is drawn differs from row to row."""
    lines = (data / "emoji-noto" / "captions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    train = [row for row in rows if row[1] == "train"]
    order = np.random.default_rng(0).permutation(len(train))[:800]
    for row in [train[number] for number in order] + [row for row in rows if row[1] == "test"]:
        with Image.open(data / "emoji-noto" / "images" / row[0]) as image:
            transparent = image.convert("RGBA").resize((SIDE, SIDE))
        page = Image.new("RGBA", transparent.size, "white")
        yield row[5], row[1], to_png(np.asarray(Image.alpha_composite(page, transparent).convert("RGB")))


def blood_cells(data: Path, *, rows: int) -> Iterator[LabeledFile]:
    """Red and white cells and platelets, cut out of BCCD.

    At most `rows` of each class are trained on, from other photos than those of the test.
    """
    rng = np.random.default_rng(0)
    for split, most in (("train", rows), ("test", 150)):
        names = (data / "bccd/ImageSets/Main" / f"{split}.txt").read_text().split()
        cells: dict[str, list[bytes]] = {}
        for name in rng.permutation(names):
            root = ElementTree.parse(data / "bccd/Annotations" / f"{name}.xml").getroot()
            with Image.open(data / "bccd/JPEGImages" / f"{name}.jpg") as photo:
                for item in root.iter("object"):
                    own = cells.setdefault(str(item.findtext("name")), [])
                    left, top, right, bottom = (
                        int(item.findtext(f"bndbox/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax")
                    )
                    if len(own) < most and right - left > 8 and bottom - top > 8:
                        own.append(
                            to_png(
                                np.asarray(photo.convert("RGB").crop((left, top, right, bottom)).resize((SIDE, SIDE)))
                            )
                        )
        yield from ((label, split, content) for label, own in cells.items() for content in own)


def characters(_: Path, *, rows: int) -> Iterator[LabeledFile]:
    """Characters in the fonts of this machine, of any size, place, slant and shade.

    Every third font is for the test; `rows` of each class are trained on.
    """
    fonts = sorted(path for path in FONTS.rglob("*.ttf") if "Math" not in path.name)
    if len(fonts) < 6:
        raise FileNotFoundError(f"only {len(fonts)} fonts in {FONTS}")
    rng = np.random.default_rng(0)
    for split, used, count in (("train", [f for n, f in enumerate(fonts) if n % 3], rows), ("test", fonts[::3], 20)):
        for letter in LETTERS * count:
            font = ImageFont.truetype(str(used[rng.integers(len(used))]), int(rng.integers(14, 26)))
            ground, ink = rng.permutation([rng.integers(0, 110), rng.integers(140, 256)]).tolist()
            image = Image.new("L", (SIDE, SIDE), ground)
            place = tuple(SIDE / 2 + rng.uniform(-3, 3, size=2))
            ImageDraw.Draw(image).text(place, letter, fill=ink, font=font, anchor="mm")
            image = image.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BILINEAR, fillcolor=ground)
            yield letter, split, to_png(np.asarray(image) + rng.normal(0, 12, size=(SIDE, SIDE)))


def _write(draw: Callable[[Path], Iterator[LabeledFile]], folder: Path, data: Path) -> list[Path]:
    return write_class_folders(folder / "images.zip", draw(data), "png")


def _case(draw: Callable[[Path], Iterator[LabeledFile]]) -> Case:
    return Case("image", "image_classification", "accuracy", partial(_write, draw))


CASES: Final[Mapping[str, Case]] = {
    "mnist_100": _case(partial(mnist, rows=100)),
    "mnist_300": _case(partial(mnist, rows=300)),
    "mnist_1000": _case(partial(mnist, rows=1000)),
    "small_digits": _case(small_digits),
    "emoji": _case(emoji),
    "blood_cells": _case(partial(blood_cells, rows=100)),
    "characters": _case(partial(characters, rows=10)),
    # From 2,000 training rows on, images vary less, and from 10,000 on, the default preset is another one.
    "mnist_3000": _case(partial(mnist, rows=3000)),
    "mnist_12000": _case(partial(mnist, rows=12_000)),
    "blood_cells_3000": _case(partial(blood_cells, rows=3000)),
    "characters_2600": _case(partial(characters, rows=100)),
}
