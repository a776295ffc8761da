"""Dataset on disk: a summary, and the columns of each split, memory-mapped.

`dataset.json` is the summary. `<split>.arrow` holds the values of all rows by column. The values of a column that all
have one shape lie beside it in one array, `<split>.<column>.npy`: an Arrow file of several record batches cannot be
mapped as one array. `<split>.locations.arrows` says where in the upload each row was,
and `<split>.unread.arrow` has the columns of a table that nothing is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field, ValidationError

from ml.config import Config
from ml.data.column_types import COLUMN_TYPES
from ml.data.issues import Location
from ml.data.item_table import ItemTable, ItemTableSummary
from ml.data.rows import ImageArray, Labels, OptionalRows, PackedRows, Rows
from ml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS: Final = ("train", "validation", "test")
#: Codes of the splits: positions in `SPLITS`.
TRAIN, VALIDATION, TEST = range(len(SPLITS))
#: Codes of the splits: positions in `SPLITS`.
TRAIN, VALIDATION, TEST = range(len(SPLITS))
SUMMARY: Final = "dataset.json"
#: Fact of a column that a row may lack: the number of rows that do.
MISSING: Final = "missing"
FORMAT_VERSION: Final = 2


class DatasetSummary(Config):
    """Content of `dataset.json`: everything about a dataset that needs no rows."""

    format_version: int = FORMAT_VERSION
    format: str
    task: str | None = None
    #: Canonical column -> name of its column type (`ml.data.column_types`), the key column first.
    columns: dict[str, str]
    #: Split -> number of rows.
    splits: dict[str, int]
    #: Class names in natural order: 2 before 10.
    classes: list[str] | None = None
    #: Split -> class -> number of rows.
    class_counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    #: Column -> facts about all its values together (`ColumnType.facts`).
    facts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    #: sha256 over the canonical rows, split by split: equal content has an equal digest, however it was packed.
    digest: str = ""
    #: Issue code -> number of rows that are listed for it (`ml.data.flagged_rows`).
    flagged_rows: dict[str, int] = Field(default_factory=dict)
    #: Facts about the table of items (`ml.data.item_table`); None without one.
    item_table: ItemTableSummary | None = None
    #: Splits whose rows were held out at random, rather than named by the data; None if that is not known.
    random_splits: tuple[str, ...] | None = None
    #: Name of the column of what rows are about (a patient, a speaker); "" without one.
    subject_name: str = ""

    def facts_of(self, column_type: str) -> dict[str, Any]:
        """Return the facts of the first column of a type, empty without one."""
        return next((self.facts.get(column, {}) for column, name in self.columns.items() if name == column_type), {})

    @property
    def optional_columns(self) -> frozenset[str]:
        """Columns that a row may lack, even if none does."""
        return frozenset(column for column in self.columns if MISSING in self.facts.get(column, {}))

    def count_missing(self, column: str) -> int:
        """Return how many rows lack a value in a column."""
        return int(self.facts.get(column, {}).get(MISSING, 0))


@dataclass(frozen=True, slots=True)
class StoredLocations:
    """Locations of the N rows of a split in their uploads.

    Numbers are 0 where there are none.
    """

    names: list[str]
    #: Position in `names`, and row and line of the file, int64 [N].
    files: np.ndarray
    rows: np.ndarray
    lines: np.ndarray


class Dataset:
    """Validated dataset, open for reading."""

    def __init__(self, directory: Path, summary: DatasetSummary) -> None:
        self.directory = directory
        self.summary = summary

    @classmethod
    def open(cls, directory: Path) -> Dataset:
        """Open the dataset in a folder.

        Raises `DataError` if there is none, or one of another format version.
        """
        try:
            summary = DatasetSummary.model_validate_json((directory / SUMMARY).read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(f"{directory.name} holds no readable dataset", hint="Import the data again.") from error
        if summary.format_version != FORMAT_VERSION:
            raise DataError(
                f"the dataset has format version {summary.format_version}; this release reads version {FORMAT_VERSION}",
                hint="Import the data again.",
            )
        return cls(directory, summary)

    def rows(self, split: str, *, is_raw: bool = False) -> Rows:
        """Return the rows of one split, no rows if the dataset lacks it.

        With `is_raw`, the values are such as formats yield them, to be imported again.

        Raises `DataError` if the files of the split are damaged.
        """
        # Imported here: a process that only reads summaries, as the web process does, needs no Arrow.
        import pyarrow as pa

        if not self.summary.splits.get(split):
            return Rows(dict.fromkeys(self.summary.columns, ()))
        try:
            with pa.memory_map(str(table_path(self.directory, split))) as file:
                table = pa.ipc.open_file(file).read_all()
            columns = {
                name: self._column(split, name, column_type, table, is_raw=is_raw)
                for name, column_type in self.summary.columns.items()
            }
            item_table = self.item_table()
        except (OSError, EOFError, ValueError, KeyError, pa.ArrowException) as error:
            raise DataError(f"the {split} split of the dataset is damaged", hint="Import the data again.") from error
        if {len(column) for column in columns.values()} != {self.summary.splits[split]}:
            raise DataError(f"the {split} split of the dataset is incomplete", hint="Import the data again.")
        return Rows(columns, item_table=item_table)

    def locations(self, split: str, indices: Sequence[int]) -> list[Location | None]:
        """Return where in the upload rows of a split were.

        None for a row of which that is not known.
        Datasets of earlier builds do not say it; the file of a row that was derived from such a dataset is its name and
        split, such as `reviews@1 train`.
        """
        import pyarrow as pa

        path = locations_path(self.directory, split)
        if not path.exists():
            return [None] * len(indices)
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_stream(file).read_all()
            return [
                Location(**{name: table.column(name)[index].as_py() for name in table.column_names})
                if 0 <= index < len(table)
                else None
                for index in indices
            ]

    def all_locations(self, split: str) -> StoredLocations | None:
        """Return where in the upload all rows of a split were.

        None if that is not known.
        """
        import pyarrow as pa

        path = locations_path(self.directory, split)
        if not path.exists():
            return None
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_stream(file).read_all().unify_dictionaries()
            codes, rows, lines = (
                np.concatenate([np.empty(0, np.int64), *(np.asarray(part.fill_null(0)) for part in parts)])
                for parts in (
                    [part.indices for part in table.column("file").chunks],
                    table.column("row").chunks,
                    table.column("line").chunks,
                )
            )
            names = table.column("file").chunk(0).dictionary.to_pylist() if len(table) else []
            return StoredLocations(names, codes.astype(np.int64), rows, lines)

    def unread_cells(self, split: str, indices: np.ndarray | None = None) -> dict[str, list[str | None]]:
        """Return the columns that nothing is learned from.

        Cells are those of all rows, or of rows at `indices`, int64 [n]; an empty cell is None. Only a table with labels
        has such columns, and not in datasets of earlier builds.
        """
        import pyarrow as pa

        path = unread_path(self.directory, split)
        if not path.exists():
            return {}
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all().combine_chunks()
            columns = {}
            for name in table.column_names if len(table) else ():
                column = table.column(name).chunk(0)
                # One text for all cells of a value.
                values = [*column.dictionary.to_pylist(), None]
                codes = column.indices.fill_null(-1).to_numpy()
                columns[name] = [values[code] for code in (codes if indices is None else codes[indices]).tolist()]
            return columns

    def item_table(self) -> ItemTable | None:
        """Return the table of the items that histories name, or None.

        Raises `OSError` or `ValueError` if its file is damaged.
        """
        summary = self.summary.item_table
        return ItemTable.read(self.directory, summary.columns) if summary else None

    def _column(self, split: str, name: str, column_type: str, table: Any, *, is_raw: bool) -> Sequence[Any]:
        if column_type == "label":
            return Labels(table.column(name).to_numpy(), self.summary.classes or [])
        if name in table.column_names:
            type_class = COLUMN_TYPES[column_type]
            rows_type = OptionalRows if self.summary.count_missing(name) else PackedRows
            return rows_type(table.column(name), type_class.to_raw if is_raw else type_class.unpack)
        # As a plain array: a `memmap` makes every later view of it slow.
        return ImageArray(np.asarray(np.load(array_path(self.directory, split, name), mmap_mode="r")))


def table_path(directory: Path, split: str) -> Path:
    """Return the path of the Arrow file of a split."""
    return directory / f"{split}.arrow"


def array_path(directory: Path, split: str, column: str) -> Path:
    """Return the path of the array of a column whose values have one shape."""
    return directory / f"{split}.{column}.npy"


def locations_path(directory: Path, split: str) -> Path:
    """Return the path of the locations of the rows of a split in the upload."""
    return directory / f"{split}.locations.arrows"


def unread_path(directory: Path, split: str) -> Path:
    """Return the path of the cells of a split that nothing is learned from."""
    return directory / f"{split}.unread.arrow"


def parents_path(directory: Path, split: str) -> Path:
    """Return the path of the hashes of files that rows were cut from."""
    return directory / f"parents.{split}.npy"


def subjects_path(directory: Path, split: str) -> Path:
    """Return the path of the hashes of the subjects of a split, uint64 [N]."""
    return directory / f"subjects.{split}.npy"
