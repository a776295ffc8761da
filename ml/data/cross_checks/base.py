"""What a relation promises: it looks at several columns of a row together, and at all rows once they are parted.

Nothing is mended by it and no row is lost: what it finds is for the owner to judge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from ml.data.issues import IssueLog, Location
    from ml.data.locations import Locations


class StagedRows(Protocol):
    """Rows of an import that are in the dataset so far."""

    def place(self, row: int) -> Location:
        """Return the place in the upload that a row was read from."""

    def values_of(self, column: str) -> Iterator[Any]:
        """Yield the stored values of a column, row by row."""


class CrossCheck(ABC):
    """Between the columns of one import. A new one is one new file."""

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    """Canonical column -> the kind of its values: a dataset that has them all is looked at."""

    def __init__(self, *, issues: IssueLog) -> None:
        self.issues = issues

    @abstractmethod
    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, places: Locations) -> None:
        """The raw values of one batch by column, as formats bring them; only those at `rows` are in the dataset."""

    def finish(  # noqa: B027 - some say all that they have to say row by row
        self, staged: StagedRows, splits: np.ndarray, called: Mapping[str, str | int]
    ) -> None:
        """Every row was seen: `splits` int8 [N] into `SPLITS`, below 0 where a row was dropped.

        `called` says by canonical column what the files call it.
        """

    def report(
        self, code: str, rows: Sequence[int], staged: StagedRows, say: Callable[[int], tuple[str, str]], *, column: str
    ) -> None:
        """One finding for each of `rows`, the first of them shown: `say` gives what was found and expected there."""
        shown = rows[: self.issues.max_samples]
        for row in shown:
            found, expected = say(row)
            self.issues.add(code, at=replace(staged.place(row), column=column), actual=found, expected=expected)
        self.issues.add_more(code, len(rows) - len(shown))
