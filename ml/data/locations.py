"""Locations of the rows of a batch in the uploaded files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Locations:
    """Locations of N rows: all in one file, by number, or one file per row.

    They stay in memory until the end of the import, so row numbers are a range or an array, never a list.
    """

    files: str | Sequence[str]
    rows: range | np.ndarray | None = None
    lines: range | np.ndarray | None = None
    #: Canonical column -> its name in the file, for files that have columns.
    names: Mapping[str, str] = field(default_factory=dict)
    #: The column that a finding is about, by its name in the file.
    column: str | None = None

    def at(self, index: int) -> Location:
        """Return the location of one row."""
        return Location(
            file=self.files if isinstance(self.files, str) else self.files[index],
            row=None if self.rows is None else int(self.rows[index]),
            line=None if self.lines is None else int(self.lines[index]),
            column=self.column,
        )

    def rows_at(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the numbers of rows in their file, int64 [n]; None where they have none."""
        return _numbers_at(self.rows, indices)

    def lines_at(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the lines of rows in their file, int64 [n]; None where they have none."""
        return _numbers_at(self.lines, indices)

    def take(self, indices: Sequence[int] | np.ndarray) -> Locations:
        """Return the locations of the rows at `indices`, which must be distinct and ascending."""
        if len(indices) == len(self):
            return self
        return replace(
            self,
            files=self.files if isinstance(self.files, str) else [self.files[index] for index in indices],
            rows=None if self.rows is None else np.asarray(self.rows)[indices],
            lines=None if self.lines is None else np.asarray(self.lines)[indices],
        )

    def in_column(self, canonical: str) -> Locations:
        """Return the same rows with the column set to the file's name of `canonical`."""
        return replace(self, column=self.names.get(canonical))

    def __len__(self) -> int:
        return len(self.files if self.rows is None else self.rows)


def _numbers_at(numbers: range | np.ndarray | None, indices: np.ndarray) -> np.ndarray | None:
    if isinstance(numbers, range):
        return numbers.start + indices * numbers.step
    return None if numbers is None else np.asarray(numbers, dtype=np.int64)[indices]
