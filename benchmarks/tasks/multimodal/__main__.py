"""Digits seen and heard: a model of both parts beside models of one.

Each row joins a handwritten digit (MNIST) with a spoken one of the same class (FSDD), both spoiled by noise until
either alone is recognized in about four of five rows. The test has other images and other takes than training.
`gated_sum` and `transformer` read both parts by multimodal_classification; `image` and `audio` are the classifiers of
one part, trained on the same rows by the same schedule; `half_missing` is trained and tested on rows half of which
lack one part.

    python -m benchmarks.tasks.multimodal                             every model
    python -m benchmarks.tasks.multimodal --rows 600 --models image audio gated_sum
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from benchmarks.record import parse_args
from benchmarks.tasks.multimodal.comparison import Comparison, Model
from ml.audio.waveform import Audio
from ml.data.files import audio
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
#: Takes of each speaker and word that are the test; FSDD has 50.
TEST_TAKES: Final = 10
#: Rows of the test.
TEST_ROWS: Final = 600
#: Standard deviation of the noise: of pixels from 0 to 1, and as a multiple of the clip's own.
IMAGE_NOISE: Final = 1.0
AUDIO_NOISE: Final = 2.2
#: Fraction of rows that lack one part, for `half missing`.
MISSING: Final = 0.5
SCHEDULE: Final[Mapping[str, Any]] = {"epochs": 10, "batch_size": 64}
IMAGE_HEADER_BYTES: Final = 16
LABEL_HEADER_BYTES: Final = 8


#: Models whose rows lack parts.
HALF_MISSING: Final = "half_missing"
MODELS: Final[Mapping[str, Model]] = {
    "image": Model("image_classification", {}),
    "audio": Model("audio_classification", {"augmentation": "light"}),
    "gated_sum": Model("multimodal_classification", {"audio_augmentation": "light"}),
    "transformer": Model("multimodal_classification", {"audio_augmentation": "light", "fusion": "transformer"}),
    HALF_MISSING: Model("multimodal_classification", {"audio_augmentation": "light"}),
}


def read_mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [N, 28, 28] and labels of `train` or `t10k`."""
    pixels = gzip.decompress((SHARED_DATA / "mnist" / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((SHARED_DATA / "mnist" / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=IMAGE_HEADER_BYTES).reshape(-1, 28, 28)
    return images, np.frombuffer(labels, np.uint8, offset=LABEL_HEADER_BYTES)


def spoil_image(image: np.ndarray, generator: np.random.Generator) -> bytes:
    """Return a PNG of the image with noise."""
    noisy = image / 255 + generator.normal(0, IMAGE_NOISE, image.shape)
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * (noisy + 1) / 3).clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def spoil_clip(path: Path, generator: np.random.Generator) -> bytes:
    """Return a WAV of the clip with noise."""
    clip = audio.decode(path.read_bytes(), max_seconds=60)
    samples = clip.samples + generator.normal(0, AUDIO_NOISE * clip.samples.std(), len(clip.samples))
    return audio.encode_wav(Audio((0.9 * samples / np.abs(samples).max()).astype(np.float32), clip.rate_hz))


def write(folder: Path, rows: int, *, has_missing: bool) -> Path:
    """Write the archive as a user would send it: a table, images and clips."""
    generator = np.random.default_rng(0)
    lines = ["file_name,audio_file_name,label,split"]
    clips = sorted((SHARED_DATA / "fsdd" / "recordings").glob("*.wav"))
    archive = folder / f"digits-{has_missing}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for split, source, count in (("train", "train", rows), ("test", "t10k", TEST_ROWS)):
            images, labels = read_mnist(source)
            is_test = split == "test"
            for row in generator.permutation(len(images))[:count].tolist():
                digit = str(labels[row])
                candidates = [clip for clip in clips if is_take(clip, digit, is_test=is_test)]
                clip = candidates[generator.integers(len(candidates))]
                hidden = generator.integers(2) if has_missing and generator.random() < MISSING else None
                name = f"{split}/{row:05}"
                packed.writestr(f"{name}.png", spoil_image(images[row], generator))
                packed.writestr(f"{name}.wav", spoil_clip(clip, generator))
                cells = ["" if hidden == part else f"{name}.{suffix}" for part, suffix in enumerate(("png", "wav"))]
                lines.append(",".join([*cells, WORDS[int(digit)], split]))
        packed.writestr("metadata.csv", "\n".join([*lines, ""]))
    return archive


def is_take(clip: Path, digit: str, *, is_test: bool) -> bool:
    """Return whether a clip says the digit, in a take of the split."""
    word, _, take = clip.stem.split("_")
    return word == digit and (int(take) < TEST_TAKES) == is_test


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="rows to train on, a tenth of them for validation")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parse_args(parser)
    if not (SHARED_DATA / "fsdd").is_dir() or not (SHARED_DATA / "mnist").is_dir():
        sys.exit(f"skipped: no mnist and fsdd in {SHARED_DATA}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        comparison = Comparison(folder, MODELS, SCHEDULE)
        for has_missing in (False, True):
            labels = [label for label in arguments.models if (label == HALF_MISSING) is has_missing]
            if labels:
                comparison.run(write(folder, arguments.rows, has_missing=has_missing), labels)
        comparison.judge(("gated_sum", "transformer"), singles=("image", "audio"), aim=5)


if __name__ == "__main__":
    main()
