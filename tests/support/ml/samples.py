"""A small dataset of any canonical columns, written as an import writes it; by kind, values as formats bring them."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ml.atomic_directory import atomic_directory
from ml.audio.waveform import Audio
from ml.data.column_types.objects import AnnotatedObjects
from ml.data.dataset import SPLITS, Dataset, DatasetSummary
from ml.data.files.audio import encode_wav
from ml.data.formats.base import Batch
from ml.data.importing import label_checks, writer
from ml.data.importing.staging import Staging
from ml.data.issues import IssueLog
from ml.data.limits import Limits
from ml.data.locations import Locations
from ml.data.tables.column_aliases import CANONICAL_COLUMNS

CLASSES = ("0", "1", "2")
SIDE = 8
WORDS = ("quiet", "loud", "film", "song", "moving", "dull", "bright", "old", "new", "river")


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(count, SIDE, SIDE, 1), dtype=np.uint8)


def _labels(count: int) -> list[str]:
    return [CLASSES[row % len(CLASSES)] for row in range(count)]


def _texts(count: int) -> list[str]:
    """Of 2 to 9 words, no two alike."""
    chance = np.random.default_rng(1)
    return [" ".join([*chance.choice(WORDS, size=1 + row % 8), str(row)]) for row in range(count)]


def _objects(count: int) -> list[Any]:
    """None, one or two squares."""
    squares = [{"label": name, "box": [x, 1, x + 3, 4]} for x, name in ((0, "0"), (4, "1"))]
    return [AnnotatedObjects(squares[: row % 3], size=(SIDE, SIDE)) for row in range(count)]


def _items(count: int) -> list[list[str]]:
    """Of 3 to 8 items, each the one after the last."""
    return [[f"i{(row + step) % 17}" for step in range(3 + row % 6)] for row in range(count)]


def _recordings(count: int) -> list[bytes]:
    """Of a fifth to two fifths of a second, 4 kHz: a tone in noise, of another pitch and length each."""
    chance = np.random.default_rng(2)
    waves = []
    for row in range(count):
        time = np.arange(800 + 100 * (row % 9)) / 4000
        tone = np.sin(2 * np.pi * (200 + 20 * row) * time) * np.hanning(len(time))
        waves.append((0.4 * tone + 0.01 * chance.normal(size=len(time))).astype(np.float32))
    return [encode_wav(Audio(wave, 4000)) for wave in waves]


VALUES: dict[str, Callable[[int], Any]] = {
    "image": _images,
    "items": _items,
    "audio": _recordings,
    "label": _labels,
    "objects": _objects,
    "text": _texts,
}


def columns_of(needed: Mapping[str, str]) -> dict[str, str]:
    """With a label beside, as most data has: who needs none must not mind."""
    return {**needed, "label": "label"}


def write(folder: Path, columns: Mapping[str, str], *, rows: int = 60) -> Path:
    """Two thirds to train on, a sixth each to validate and to test."""
    issues = IssueLog(max_samples=10)
    splits = np.repeat(np.arange(len(SPLITS), dtype=np.int8), [rows - 2 * (rows // 6), rows // 6, rows // 6])
    values = {column: VALUES[kind](rows) for column, kind in columns.items()}
    with (folder / "scratch").open("w+b") as scratch:
        staging = Staging(scratch, kinds={**CANONICAL_COLUMNS, **columns}, issues=issues, limits=Limits())
        staging.add(Batch(values, Locations("sample", range(1, rows + 1)), None))
        assert not issues.has_errors, issues.entries
        classes, codes = label_checks.resolve_classes(staging, issues)
        with atomic_directory(folder / "dataset") as directory:
            digest = writer.write(directory, staging, splits, codes)
            held = sorted({name for kind in staging.kinds.values() for name in kind.classes()})
            summary = DatasetSummary(
                format="sample",
                columns=dict(columns),
                splits={split: int((splits == code).sum()) for code, split in enumerate(SPLITS)},
                classes=classes or held or None,
                class_counts=label_checks.count_classes(classes, codes, splits) if classes else {},
                facts={name: kind.facts() for name, kind in staging.kinds.items()},
                digest=digest,
            )
            writer.write_summary(directory, summary)
    return folder / "dataset"


@cache
def _kept(columns: tuple[tuple[str, str], ...]) -> tuple[TemporaryDirectory[str], Path]:
    folder = TemporaryDirectory()
    return folder, write(Path(folder.name), dict(columns))


def dataset(needed: Mapping[str, str]) -> Dataset:
    """One that has these columns, made once."""
    return Dataset.open(path(needed))


def path(needed: Mapping[str, str]) -> Path:
    """Where it lies."""
    return _kept(tuple(columns_of(needed).items()))[1]
