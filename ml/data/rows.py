"""Rows by column, as training reads them: decoded lazily, taken by index."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
"""One canonical row: column -> value as `ml.data.column_types` defines it: image uint8 [H, W, C], label str, ..."""


class Column(Sequence[Any]):
    """Raw values that can be taken by index without being decoded. Any other sequence may stand in a `Rows` too."""

    @abstractmethod
    def take(self, indices: Sequence[int] | np.ndarray) -> Sequence[Any]:
        """The values at `indices`, in that order."""


class JoinedRows(Column):
    """Several columns one after the other."""

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._columns = columns
        self._ends = np.cumsum([len(column) for column in columns])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: Any) -> Any:  # int -> a value of one of them
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        place = range(len(self))[int(index)]
        which = int(np.searchsorted(self._ends, place, side="right"))
        return self._columns[which][place - int(self._ends[which]) + len(self._columns[which])]

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Indices into all of them."""
        return SelectedRows(self, indices)


class Rows(Sequence[Row]):
    """Equally long columns. A column is any sequence of raw values; one with an `array` [N, ...] may be read whole."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of unequal length: {lengths}")
        self.columns = dict(columns)
        self._length = next(iter(lengths.values()), 0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:  # int -> Row; Sequence's overloads say no more than this line
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return {name: column[index] for name, column in self.columns.items()}

    def take(self, indices: Sequence[int] | np.ndarray) -> Rows:
        """The rows at `indices`, in that order; nothing is decoded yet."""
        return Rows({name: SelectedRows.of(column, indices) for name, column in self.columns.items()})


class ImageArray(Column):
    """Images of one size, uint8 [N, H, W, C]; `array` is a view of the file, read-only."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:  # int -> uint8 [H, W, C]
        return self.array[index]

    def take(self, indices: Sequence[int] | np.ndarray) -> ImageArray:
        """A copy of these images, still one array."""
        return ImageArray(self.array[np.asarray(indices, dtype=np.int64)])


class PackedRows(Column):
    """Values kept as bytes and unpacked at each look."""

    def __init__(self, packed: pa.ChunkedArray, unpack: Callable[[bytes], Any]) -> None:
        self._packed = packed
        self._unpack = unpack

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, index: Any) -> Any:  # int -> what a row holds
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return self._unpack(self._packed[int(index)].as_py())

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Indices into this column."""
        return SelectedRows(self, indices)


class Labels(Column):
    """Class names, kept as `codes`, int32 [N], into `classes`."""

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
        """The codes at `indices`, copied."""
        return Labels(self.codes[np.asarray(indices, dtype=np.int64)], self.classes)


class SelectedRows(Column):
    """Some values of a column, found when asked for."""

    def __init__(self, column: Sequence[Any], indices: Sequence[int] | np.ndarray) -> None:
        self._column = column
        self._indices = indices

    @staticmethod
    def of(column: Sequence[Any], indices: Sequence[int] | np.ndarray) -> Sequence[Any]:
        """An array stays an array."""
        return column.take(indices) if isinstance(column, Column) else SelectedRows(column, indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return SelectedRows(self._column, self._indices[index])
        return self._column[self._indices[index]]

    def take(self, indices: Sequence[int] | np.ndarray) -> SelectedRows:
        """Indices of indices, resolved at once."""
        return SelectedRows(self._column, [self._indices[index] for index in indices])
