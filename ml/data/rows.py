"""Rows by column, as training reads them: decoded lazily, selected by index."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.data.item_table import ItemTable

#: One row: column -> value as its type in `ml.data.column_types` defines it: image uint8 [H, W, C], label str, ...
Row = dict[str, Any]


class Column(Sequence[Any]):
    """Raw values that are selected by index without decoding.

    `Rows` accepts any other sequence as well.
    """

    @abstractmethod
    def take(self, indices: Sequence[int] | np.ndarray) -> Sequence[Any]:
        """Return the values at `indices`, in that order."""

    def is_missing(self) -> np.ndarray:
        """Return which rows have no value, bool [N], without decoding any."""
        return np.zeros(len(self), dtype=bool)


class JoinedRows(Column):
    """Concatenation of several columns."""

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._columns = columns
        self._ends = np.cumsum([len(column) for column in columns])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Any) -> Any:  # int -> a value of one of the columns
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        row = range(len(self))[int(index)]
        part = int(np.searchsorted(self._ends, row, side="right"))
        return self._columns[part][row - int(self._ends[part]) + len(self._columns[part])]

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Return the values at `indices` into the concatenation."""
        return SelectedRows(self, indices)


class Rows(Sequence[Row]):
    """Columns of equal length.

    A column is any sequence of raw values; one with an attribute `array` [N, ...] may be read as a whole.
    Raises `ValueError` for columns of unequal length.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], *, item_table: ItemTable | None = None) -> None:
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns have unequal lengths: {lengths}")
        self.columns = dict(columns)
        #: Table of the items that histories name; None without one.
        self.item_table = item_table
        self._length = next(iter(lengths.values()), 0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:  # int -> Row; the overloads of Sequence say no more than this line
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return {name: column[index] for name, column in self.columns.items()}

    def take(self, indices: Sequence[int] | np.ndarray) -> Rows:
        """Return the rows at `indices`, in that order, without decoding them."""
        columns = {name: SelectedRows.of(column, indices) for name, column in self.columns.items()}
        return Rows(columns, item_table=self.item_table)


class ImageArray(Column):
    """Images of one size, uint8 [N, H, W, C].

    `array` is a read-only view of the file.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:  # int -> uint8 [H, W, C]
        return self.array[index]

    def take(self, indices: Sequence[int] | np.ndarray) -> ImageArray:
        """Return a copy of the images at `indices`, as one array."""
        return ImageArray(self.array[np.asarray(indices, dtype=np.int64)])


class PackedRows(Column):
    """Values stored as bytes and unpacked at every access."""

    def __init__(self, packed: pa.ChunkedArray, unpack: Callable[[bytes], Any]) -> None:
        self._packed = packed
        self._unpack = unpack

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, index: Any) -> Any:  # int -> an unpacked value
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return self._unpack(self._packed[int(index)].as_py())

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Return the values at `indices`, still packed."""
        return SelectedRows(self, indices)


class OptionalRows(PackedRows):
    """Values stored as bytes, of which a row may have none; its value is None."""

    def __getitem__(self, index: Any) -> Any:  # int -> an unpacked value or None
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        data = self._packed[int(index)].as_py()
        return self._unpack(data) if data else None

    def is_missing(self) -> np.ndarray:
        """Return which rows have none, by the length of their bytes."""
        import pyarrow.compute as pc

        return np.asarray(pc.equal(pc.binary_length(self._packed), 0).to_numpy(zero_copy_only=False))


class Labels(Column):
    """Class names, stored as `codes`, int32 [N], into `classes`."""

    def __init__(self, codes: np.ndarray, classes: Sequence[str]) -> None:
        self.codes = codes
        self.classes = classes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:  # int -> str
        if isinstance(index, slice):
            return Labels(self.codes[index], self.classes)
        return self.classes[self.codes[index]]

    def take(self, indices: Sequence[int] | np.ndarray) -> Labels:
        """Return a copy of the codes at `indices`."""
        return Labels(self.codes[np.asarray(indices, dtype=np.int64)], self.classes)


class SelectedRows(Column):
    """Selection from a column, resolved at access."""

    def __init__(self, column: Sequence[Any], indices: Sequence[int] | np.ndarray) -> None:
        self._column = column
        self._indices = indices

    @staticmethod
    def of(column: Sequence[Any], indices: Sequence[int] | np.ndarray) -> Sequence[Any]:
        """Select from any sequence; an array stays an array."""
        return column.take(indices) if isinstance(column, Column) else SelectedRows(column, indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return SelectedRows(self._column, self._indices[index])
        return self._column[self._indices[index]]

    def is_missing(self) -> np.ndarray:
        """Return which of the selected rows have no value."""
        return find_missing(self._column)[np.asarray(self._indices, dtype=np.int64)]

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Return a selection of this selection, with its indices resolved at once."""
        return SelectedRows(self._column, [self._indices[index] for index in indices])


def find_missing(column: Sequence[Any]) -> np.ndarray:
    """Return which values of a column are None, bool [N]."""
    if isinstance(column, Column):
        return column.is_missing()
    return np.array([value is None for value in column], dtype=bool)


def present_values(column: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a column that are not None."""
    is_missing = find_missing(column)
    return SelectedRows.of(column, np.flatnonzero(~is_missing)) if is_missing.any() else column
