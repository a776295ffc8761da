"""Rows by column, as training reads them: decoded lazily, taken by index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
"""One canonical row: an image is uint8 [H, W, C] with C of 1 or 3, a label is str, a text is str."""


class Rows(Sequence[Row]):
    """Equally long columns. A column is any sequence of raw values; one that holds `array` [N, ...] may be read whole."""

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
        return {name: column[index] for name, column in self.columns.items()}

    def take(self, indices: Sequence[int]) -> Rows:
        """The rows at `indices`, in that order; nothing is decoded yet."""
        return Rows({name: Taken.of(column, indices) for name, column in self.columns.items()})


class ImageArray(Sequence[np.ndarray]):
    """Images of one size, uint8 [N, H, W, C]; `array` is a view of the file."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:  # int -> uint8 [H, W, C]
        return self.array[index]


class Taken(Sequence[Any]):
    """Some values of a column, found when asked for."""

    def __init__(self, column: Sequence[Any], indices: Sequence[int]) -> None:
        self._column = column
        self._indices = indices

    @staticmethod
    def of(column: Sequence[Any], indices: Sequence[int]) -> Sequence[Any]:
        """An array stays an array."""
        if isinstance(column, ImageArray):
            return ImageArray(column.array[np.asarray(indices, dtype=np.int64)])
        return Taken(column, indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Taken(self._column, self._indices[index])
        return self._column[self._indices[index]]
