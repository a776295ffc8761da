"""Base class of cross checks, which compare several columns.

They see every row, and all rows together once they are split. They only report issues for the owner of the data to
judge; no row is repaired or rejected.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ml.data.issues import FlaggedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from ml.data.column_types.base import ColumnType
    from ml.data.issues import IssueLog, Location
    from ml.data.locations import Locations


class StagedRows(Protocol):
    """All N valid rows of an import, by position."""

    def values_of(self, column: str) -> Iterator[Any]:
        """Yield the stored values of a column: bytes, or plain values."""

    def locate(self, row: int) -> Location:
        """Return the location of a row in the uploaded files."""

    @property
    def hashes(self) -> np.ndarray:
        """Hashes of the key column, uint8 [N, 16]; equal values have equal hashes."""

    def hashes_of(self, column: str) -> np.ndarray:
        """Return the hashes of one column, uint8 [N, 16]; equal values have equal hashes."""

    @property
    def key_column(self) -> str:
        """The first column; rows with equal values in it are copies."""

    @property
    def column_types(self) -> Mapping[str, ColumnType[Any]]:
        """Types of the columns, without the label, the key column first."""

    @property
    def classes(self) -> Sequence[str] | None:
        """Names of the classes; None without labels."""

    @property
    def class_codes(self) -> np.ndarray:
        """Class of every row, int32 [N] into `classes`, -1 for a row without a label."""


class CrossCheck(ABC):
    """Check between the columns of one import. A new one is one new file."""

    name: ClassVar[str]
    #: Canonical column -> name of its column type; a dataset that has all of them is checked.
    columns: ClassVar[Mapping[str, str]]

    def __init__(self, *, issues: IssueLog) -> None:
        self.issues = issues

    @classmethod
    def applies_to(cls, type_names: Mapping[str, str]) -> bool:
        """Return whether a dataset is checked, by its canonical columns with their column types."""
        return cls.columns.items() <= type_names.items()

    def check(  # noqa: B027 - optional: some checks need all rows together
        self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, locations: Locations
    ) -> None:
        """Check the rows of one batch.

        `values` are raw values by column, as formats yield them; only those at `rows` are valid.
        """

    def check_unread(  # noqa: B027 - optional: few checks look at what is not learned from
        self, cells: Mapping[str, Sequence[Any]], rows: np.ndarray
    ) -> None:
        """Check cells of columns that are not learned from.

        `rows` are the valid ones of one batch.
        """

    def finish(  # noqa: B027 - optional: some checks need no more than single rows
        self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]
    ) -> None:
        """Check all rows together.

        `splits`: int8 [N] into `SPLITS`, below 0 for a dropped row. `column_names`: canonical column -> its name in the
        files.
        """

    def report(
        self,
        code: str,
        rows: Sequence[int],
        staged: StagedRows,
        describe: Callable[[int], tuple[str, str]],
        *,
        column: str,
        flagged_rows: Sequence[FlaggedRow] = (),
    ) -> None:
        """Report one issue for each of `rows`, the first of them as samples.

        `describe` returns the actual and the expected value of a row. `flagged_rows` are `rows` with further facts.
        """
        self.issues.flag(code, flagged_rows or (FlaggedRow(row=row) for row in rows))
        samples = rows[: self.issues.max_samples]
        for row in samples:
            actual, expected = describe(row)
            self.issues.add(code, at=replace(staged.locate(row), column=column), actual=actual, expected=expected)
        self.issues.add_more(code, len(rows) - len(samples))
