"""MNIST: labeled digits, and any number without labels."""

from __future__ import annotations

import base64
import gzip
import struct
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks.pretraining.arms import Arm, Modality, Study
from ml.data.files import images

VALIDATION_ROWS: Final = 500
UNLABELED_ROWS: Final = 20_000
TEACHER_EPOCHS: Final = 2
AUGMENTED: Final = {"augmentation": "light"}


class Images(Modality):
    """Arms of the study.

    - scratch: from random weights
    - scratch + augmentation: the same, its training images turned, scaled and shifted
    - contrastive views, masked images: from a base model that saw 20,000 unlabeled images, by that objective
    - contrastive views + augmentation
    - scratch (vae), evidence bound: the same for the network that gives a latent code, which has no maps to mask
    - distilled: from random weights, taught by a model that had labels for the 20,000, beside the labels

    The step from the first to the second is what augmentation alone gives.
    """

    task = "image_classification"
    answer = "label"
    batch_rows = 50
    usual = Study(labels=(100,), epochs=5, steps=400)
    arms: ClassVar[Mapping[str, Arm]] = {
        "scratch": Arm("cnn"),
        "scratch + augmentation": Arm("cnn", options=AUGMENTED),
        "contrastive views": Arm("cnn", "contrastive_views"),
        "contrastive views + augmentation": Arm("cnn", "contrastive_views", options=AUGMENTED),
        "masked images": Arm("cnn", "masked_image_modeling"),
        "scratch (vae)": Arm("vae", beside="scratch (vae)"),
        "evidence bound": Arm("vae", "evidence_lower_bound", beside="scratch (vae)"),
        "distilled": Arm("cnn", "supervised", schedule={"epochs": TEACHER_EPOCHS}, taught=True),
    }

    def __init__(self, data: Path, folder: Path) -> None:
        if not (data / "train-images-idx3-ubyte.gz").is_file():
            sys.exit(f"skipped: no MNIST files in {data}; name their folder with --data")
        self.folder = folder
        self.digit_images, self.test_images = (read(data, f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k"))
        self.digits, self.test_digits = (read(data, f"{name}-labels-idx1-ubyte.gz") for name in ("train", "t10k"))

    def unlabeled_dataset(self, seed: int) -> Path:
        """Images alone."""
        chosen = self._order(seed)[:UNLABELED_ROWS]
        return self._write(f"unlabeled-{seed}", {"train": (self.digit_images[chosen], None)})

    def teacher_dataset(self, seed: int) -> Path:
        """Return the same images with their digits."""
        chosen = self._order(seed)[:UNLABELED_ROWS]
        return self._write(f"answered-{seed}", {"train": (self.digit_images[chosen], self.digits[chosen])})

    def labeled_dataset(self, seed: int, count: int) -> Path:
        """None of these are among the unlabeled."""
        chosen, held_out = self._order(seed)[UNLABELED_ROWS + VALIDATION_ROWS :][:count], self._held_out(seed)
        rows = {"train": chosen, "validation": held_out}
        splits = {split: (self.digit_images[row], self.digits[row]) for split, row in rows.items()}
        return self._write(f"labeled-{count}-{seed}", splits)

    def rows(self, split: str, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
        """PNGs, and digits."""
        digit_images, digits = self.test_images, self.test_digits
        if split == "validation":
            held_out = self._held_out(seed)
            digit_images, digits = self.digit_images[held_out], self.digits[held_out]
        encoded = (base64.b64encode(images.encode_png(image[:, :, None])).decode() for image in digit_images)
        return [{"image": item} for item in encoded], [str(digit) for digit in digits]

    def _order(self, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(len(self.digit_images))

    def _held_out(self, seed: int) -> np.ndarray:
        return self._order(seed)[UNLABELED_ROWS : UNLABELED_ROWS + VALIDATION_ROWS]

    def _write(self, name: str, rows: Mapping[str, tuple[np.ndarray, np.ndarray | None]]) -> Path:
        """Import IDX files, as a user would send them."""
        files = {
            f"{split}-{kind}-idx{values.ndim}-ubyte": (split, values)
            for split, (digit_images, digits) in rows.items()
            for kind, values in (("images", digit_images), ("labels", digits))
            if values is not None
        }

        def write(folder: Path) -> list[Path]:
            for file, (_, values) in files.items():
                header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
                (folder / file).write_bytes(header + values.tobytes())
            return [folder / file for file in files]

        return self._import_once(name, write, splits={file: split for file, (split, _) in files.items()})


@cache
def read(folder: Path, name: str) -> np.ndarray:
    """One IDX file of bytes."""
    content = gzip.decompress((folder / name).read_bytes())
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
