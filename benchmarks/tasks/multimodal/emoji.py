"""Categories of emoji from their image, their name, and both.

Names and images are those of a font; a quarter of the emoji is the test. All models have the recipe of their
architectures.

    python -m benchmarks.tasks.multimodal.emoji
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from benchmarks.record import parse_args
from benchmarks.tasks.multimodal.comparison import Comparison, Model
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

EMOJI: Final = SHARED_DATA / "emoji-noto"
#: Pixels of a side of the images.
SIDE: Final = 32
TEST_FRACTION: Final = 0.25
MODELS: Final[Mapping[str, Model]] = {
    "image": Model("image_classification", {}),
    "text": Model("text_classification", {}),
    "gated_sum": Model("multimodal_classification", {}),
    "transformer": Model("multimodal_classification", {"fusion": "transformer"}),
}


def write(folder: Path, seed: int) -> Path:
    """Write the archive as a user would send it: a table and images."""
    with (EMOJI / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    tests = set(order[: round(TEST_FRACTION * len(rows))])
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file_name", "text", "label", "split"])
    archive = folder / "emoji.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number, row in enumerate(rows):
            packed.writestr(row["file"], _on_white(EMOJI / "images" / row["file"]))
            writer.writerow([row["file"], row["caption"], row["category"], "test" if number in tests else "train"])
        packed.writestr("metadata.csv", table.getvalue())
    return archive


def _on_white(path: Path) -> bytes:
    """Return a small PNG without transparency."""
    with Image.open(path) as image:
        transparent = image.convert("RGBA").resize((SIDE, SIDE))
    page = Image.new("RGBA", transparent.size, "white")
    file = io.BytesIO()
    Image.alpha_composite(page, transparent).convert("RGB").save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    arguments = parse_args(parser)
    if not EMOJI.is_dir():
        sys.exit(f"skipped: no emoji-noto in {SHARED_DATA}")
    with tempfile.TemporaryDirectory() as name:
        comparison = Comparison(Path(name), MODELS, {})
        comparison.run(write(Path(name), arguments.seed), arguments.models)
        comparison.judge(("gated_sum", "transformer"), singles=("image", "text"), aim=0)


if __name__ == "__main__":
    main()
