"""First rows of an uploaded table, by which a user chooses its columns."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from ml.config import Config
from ml.data.issues import to_printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ROWS: Final = 5
MAX_COLUMNS: Final = 50
MAX_CELL_CHARACTERS: Final = 100


class FirstRows(Config):
    """Beginning of a table, as its file has it."""

    file: str
    #: Names of the columns; empty for one without a name.
    columns: list[str]
    #: Cells as texts, cut to `MAX_CELL_CHARACTERS`.
    rows: list[list[str]]

    @classmethod
    def of(cls, file: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Self:
        """Take the first rows and columns."""
        names = list(columns)[:MAX_COLUMNS]
        shown = [[_to_cell(value) for value in row[: len(names)]] for row in islice(rows, MAX_ROWS)]
        return cls(file=file, columns=names, rows=shown)


def _to_cell(value: Any) -> str:
    text = "" if value is None else to_printable(value)
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 3]}..."
