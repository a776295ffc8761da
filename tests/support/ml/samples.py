"""Small datasets with any canonical columns, written like imports; raw values by column type."""

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
from ml.data.importing import writer
from ml.data.importing.classes import count_classes, resolve_classes
from ml.data.importing.staging import Staging
from ml.data.issues import IssueLog
from ml.data.item_table import ItemTable, ItemTableSummary
from ml.data.limits import Limits
from ml.data.locations import Locations
from ml.data.tables.column_aliases import CANONICAL_COLUMNS
from ml.spec.catalog import TaskEntry
from ml.tasks.base import Task

CLASSES = ("0", "1", "2")
SIDE = 8
WORDS = ("quiet", "loud", "film", "song", "moving", "dull", "bright", "old", "new", "river")


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(count, SIDE, SIDE, 1), dtype=np.uint8)


def _labels(count: int) -> list[str]:
    return [CLASSES[row % len(CLASSES)] for row in range(count)]


def _texts(count: int) -> list[str]:
    """Texts of 2 to 9 words, no two alike."""
    generator = np.random.default_rng(1)
    return [" ".join([*generator.choice(WORDS, size=1 + row % 8), str(row)]) for row in range(count)]


def _objects(count: int) -> list[Any]:
    """No, one or two squares per image."""
    squares = [{"label": name, "box": [x, 1, x + 3, 4]} for x, name in ((0, "0"), (4, "1"))]
    return [AnnotatedObjects(squares[: row % 3], size=(SIDE, SIDE)) for row in range(count)]


def _items(count: int) -> list[list[str]]:
    """Histories of 3 to 8 items, each item followed by the next."""
    return [[f"i{(row + step) % 17}" for step in range(3 + row % 6)] for row in range(count)]


def _events(count: int) -> list[list[str]]:
    """Events of the histories of `_items`; the rarest one is a rejection."""
    names = ("view", "view", "view", "purchase", "view", "view", "refund")
    return [[names[(row + step) % len(names)] for step in range(3 + row % 6)] for row in range(count)]


def _item_numbers(count: int) -> list[list[float | None]]:
    """Numbers for the items of `_items`, some of them missing."""
    return [[None if step == 1 else 1.0 + (row + step) % 5 for step in range(3 + row % 6)] for row in range(count)]


def _users(count: int) -> list[str]:
    return [f"u{row}" for row in range(count)]


def _records(count: int) -> list[dict[str, Any]]:
    """Two lengths, one of them sometimes missing, and a site; no two alike."""
    generator = np.random.default_rng(3)
    return [
        {
            "length": round(float(generator.normal(5, 1)), 3),
            "width": None if row % 7 == 3 else round(float(generator.normal(3, 0.5)), 3),
            "site": ("north", "south", "east")[row % 3],
        }
        for row in range(count)
    ]


def _numbers(count: int) -> list[float]:
    return [float(row % 11) + 0.5 for row in range(count)]


def _audio_clips(count: int) -> list[bytes]:
    """Clips of 0.2 to 0.4 s at 4 kHz: tones in noise."""
    generator = np.random.default_rng(2)
    waves = []
    for row in range(count):
        time = np.arange(800 + 100 * (row % 9)) / 4000
        tone = np.sin(2 * np.pi * (200 + 20 * row) * time) * np.hanning(len(time))
        waves.append((0.4 * tone + 0.01 * generator.normal(size=len(time))).astype(np.float32))
    return [encode_wav(Audio(wave, 4000)) for wave in waves]


#: Column type -> function that makes a number of raw values.
VALUES: dict[str, Callable[[int], Any]] = {
    "events": _events,
    "image": _images,
    "items": _items,
    "audio": _audio_clips,
    "label": _labels,
    "number": _numbers,
    "numbers": _item_numbers,
    "objects": _objects,
    "record": _records,
    "text": _texts,
    "user": _users,
}


def columns_read_by(task: type[Task] | TaskEntry) -> dict[str, str]:
    """Return all columns that a task can read."""
    return {**task.optional_columns, **task.columns}


def make_item_table() -> ItemTable:
    """Make a table of the items in histories, and of two that no history has."""
    ids = [*(f"i{number}" for number in range(17)), "n1", "n2"]
    return ItemTable.of(
        ids,
        {
            "title": [f"{WORDS[number % 10]} {WORDS[number % 7]} {item}" for number, item in enumerate(ids)],
            "kind": [("book", "film")[number % 2] for number in range(len(ids))],
            "price": [str(number + 1) for number in range(len(ids))],
        },
    )


def columns_of(required: Mapping[str, str]) -> dict[str, str]:
    """Return the required columns and a label, which every task must tolerate."""
    return {**required, "label": "label"}


def write(folder: Path, columns: Mapping[str, str], *, rows: int = 60) -> Path:
    """Write a dataset: 2/3 of the rows in train, 1/6 each in validation and test."""
    issues = IssueLog(max_samples=10)
    splits = np.repeat(np.arange(len(SPLITS), dtype=np.int8), [rows - 2 * (rows // 6), rows // 6, rows // 6])
    values = {column: VALUES[name](rows) for column, name in columns.items()}
    with (folder / "scratch").open("w+b") as scratch:
        staging = Staging(scratch, type_names={**CANONICAL_COLUMNS, **columns}, issues=issues, limits=Limits())
        staging.add(Batch(values, Locations("sample", range(1, rows + 1)), None))
        assert not issues.has_errors, issues.entries
        classes, codes = resolve_classes(staging, issues)
        with atomic_directory(folder / "dataset") as directory:
            digest = writer.write(directory, staging, splits, codes)
            column_types = staging.column_types
            object_classes = sorted({name for column_type in column_types.values() for name in column_type.classes()})
            summary = DatasetSummary(
                format="sample",
                columns=dict(columns),
                splits={split: int((splits == code).sum()) for code, split in enumerate(SPLITS)},
                classes=classes or object_classes or None,
                class_counts=count_classes(classes, codes, splits) if classes else {},
                facts={name: facts for name, column_type in column_types.items() if (facts := column_type.facts())},
                digest=digest,
            )
            if "items" in columns.values():
                table = make_item_table()
                table.write(directory)
                items = ItemTableSummary(rows=len(table), columns=dict(table.columns), items_without_interactions=2)
                summary = summary.model_copy(update={"item_table": items})
            writer.write_summary(directory, summary)
    return folder / "dataset"


@cache
def _write_once(columns: tuple[tuple[str, str], ...]) -> tuple[TemporaryDirectory[str], Path]:
    folder = TemporaryDirectory()
    return folder, write(Path(folder.name), dict(columns))


def dataset(required: Mapping[str, str]) -> Dataset:
    """Return a dataset with these columns, written once per process."""
    return Dataset.open(path(required))


def path(required: Mapping[str, str]) -> Path:
    """Return the folder of the dataset with these columns."""
    return _write_once(tuple(columns_of(required).items()))[1]
