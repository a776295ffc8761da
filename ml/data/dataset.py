"""A dataset on disk: what is known of it, and its columns, split by split, mapped into memory rather than read.

`dataset.json` is the summary. `<split>.arrow` holds one value a row of each column; values of one shape lie beside
it as one array, `<split>.<column>.npy`, because an Arrow file of more than one batch has no such array to give.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field, ValidationError

from ml.config import Config
from ml.data.column_types import COLUMN_TYPES
from ml.data.rows import ImageArray, Labels, PackedRows, Rows
from ml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS: Final = ("train", "validation", "test")
SUMMARY: Final = "dataset.json"
FORMAT_VERSION: Final = 2


class DatasetSummary(Config):
    """`dataset.json`: all that can be known of a dataset without reading its rows."""

    format_version: int = FORMAT_VERSION
    format: str
    task: str | None = None
    columns: dict[str, str]
    """Canonical column -> the kind of its values (`ml.data.column_types`), the key first."""
    splits: dict[str, int]
    """Rows by split."""
    classes: list[str] | None = None
    """In natural order: 2 before 10."""
    class_counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Split -> class -> rows."""
    facts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By column what its kind knows of all values together (`Kind.facts`)."""
    digest: str = ""
    """sha256 over the canonical rows, split by split: the same content has the same digest, however it was packed."""

    def about(self, kind: str) -> dict[str, Any]:
        """The facts of the first column of a kind; empty where there is none."""
        return next((self.facts.get(column, {}) for column, each in self.columns.items() if each == kind), {})


class Dataset:
    """A validated dataset, open for reading."""

    def __init__(self, directory: Path, summary: DatasetSummary) -> None:
        self.directory = directory
        self.summary = summary

    @classmethod
    def open(cls, directory: Path) -> Dataset:
        """Raises `DataError` where the folder holds no dataset that this version reads."""
        try:
            summary = DatasetSummary.model_validate_json((directory / SUMMARY).read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(
                f"{directory.name} holds no dataset that can be read", hint="import the data again"
            ) from error
        if summary.format_version != FORMAT_VERSION:
            raise DataError(
                f"the dataset is of format {summary.format_version}; this version reads {FORMAT_VERSION}",
                hint="import the data again",
            )
        return cls(directory, summary)

    def rows(self, split: str) -> Rows:
        """The rows of one split; a split that is not there is empty. Raises `DataError` where its files are damaged."""
        # Imported here: whoever only reads summaries, as the web process does, goes without Arrow.
        import pyarrow as pa

        if not self.summary.splits.get(split):
            return Rows(dict.fromkeys(self.summary.columns, ()))
        try:
            with pa.memory_map(str(table_path(self.directory, split))) as file:
                table = pa.ipc.open_file(file).read_all()
            columns = {name: self._column(split, name, kind, table) for name, kind in self.summary.columns.items()}
        except (OSError, EOFError, ValueError, KeyError, pa.ArrowException) as error:
            raise DataError(f"the split {split} of the dataset is damaged", hint="import the data again") from error
        if {len(column) for column in columns.values()} != {self.summary.splits[split]}:
            raise DataError(f"the split {split} of the dataset is incomplete", hint="import the data again")
        return Rows(columns)

    def _column(self, split: str, name: str, kind: str, table: Any) -> Sequence[Any]:
        if kind == "label":
            return Labels(table.column(name).to_numpy(), self.summary.classes or [])
        if name in table.column_names:
            return PackedRows(table.column(name), COLUMN_TYPES[kind].unpack)
        # As plain array: a `memmap` makes every later view of it slow.
        return ImageArray(np.asarray(np.load(array_path(self.directory, split, name), mmap_mode="r")))


def table_path(directory: Path, split: str) -> Path:
    """The Arrow file of a split."""
    return directory / f"{split}.arrow"


def array_path(directory: Path, split: str, column: str) -> Path:
    """The array of a column's values, where they have one shape."""
    return directory / f"{split}.{column}.npy"
