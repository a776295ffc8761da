"""Columns of a table and the layout that maps canonical columns to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import ALIASES, NON_DATA_NAME, REJECTED_NAMES, plain_name, position_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.tables.cells import CellKind

#: Between the names of columns whose texts are joined.
JOIN_SIGN: Final = " + "
#: Between joined texts.
JOIN_TEXT: Final = "\n\n"
#: Canonical column whose cells are those of several columns, by name.
FEATURES: Final = "features"
#: Column names listed in an error message.
MAX_LISTED_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One column of a file, described by its first cells."""

    #: Its name in the file; its position from 1 in a file without a header.
    name: str
    kind: CellKind
    #: Mean length of the inspected cells.
    mean_characters: float = 0
    #: Whether at least `MIN_DISTINCT_CELLS` cells were inspected and all differ: an identifier, not a class.
    is_distinct: bool = False
    #: Whether cells refer to something rather than say it: links, hashes, credits.
    is_reference: bool = False
    #: Whether all inspected cells are whole numbers from 0 to 255.
    holds_pixels: bool = False
    #: Whether the inspected cells are measured rather than counted or coded: fractions, or many different numbers.
    is_measured: bool = False
    #: Whether the inspected cells repeat few values, as those of classes do.
    repeats_values: bool = False
    #: Whether all inspected cells are the same.
    is_constant: bool = False
    #: Whether all inspected cells are numbers, some of them with a fraction.
    has_fractions: bool = False
    #: Whether most inspected cells end with the sign of a sentence.
    ends_like_sentences: bool = False
    #: Whether it holds splits, or what rows are about: nothing to learn from.
    is_membership: bool = False


class CellReader(Protocol):
    """Makes the cells of canonical columns out of several columns."""

    @property
    def numbering(self) -> str:
        """Names of choices in answers, in words."""

    def cells(self, by_position: Mapping[int, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Return the cells of N rows by canonical column, from those by position."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Canonical columns and the positions, from 0, of the file's columns that hold them."""

    columns: Mapping[str, int] = field(default_factory=dict)
    #: Positions of the pixel columns of an image that has one column per pixel; such an image is not in `columns`.
    pixels: tuple[int, ...] = ()
    #: Canonical column -> positions of all columns whose texts are joined to it, in their order.
    joined: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: Names of the columns of a record, unlike each other; their positions are `joined["features"]`.
    record_names: tuple[str, ...] = ()
    #: Whether the column to predict was chosen without a request or a usual name of a label.
    is_label_guessed: bool = False
    #: Positions of other columns that may be the one to predict, if it was guessed.
    other_labels: tuple[int, ...] = ()
    #: Whether the text was chosen among several columns by its length alone.
    is_text_guessed: bool = False
    #: Height, width and channels of the image in `pixels`.
    shape: tuple[int, int, int] = (0, 0, 0)
    #: Whether three channels were inferred from the number of pixel columns alone.
    is_shape_assumed: bool = False
    #: Reader of questions with choices; None for another table.
    choices: CellReader | None = None

    def names(self, columns: Sequence[CellColumn]) -> dict[str, str]:
        """Map canonical columns to the file's names; pixel columns are left out."""
        return {
            canonical: JOIN_SIGN.join(columns[index].name for index in self.positions_of(canonical))
            for canonical in self.columns
        }

    def positions_of(self, canonical: str) -> tuple[int, ...]:
        """Return the positions of the columns that become one canonical column."""
        return self.joined.get(canonical, (self.columns[canonical],))

    @property
    def cell_positions(self) -> list[int]:
        """Positions of all columns to read, except for pixels."""
        return list(dict.fromkeys(index for canonical in self.columns for index in self.positions_of(canonical)))

    def cells(self, by_position: Mapping[int, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Return the cells of N rows by canonical column, from those by position."""
        if self.choices is not None:
            return self.choices.cells(by_position)
        return {canonical: self._cells_of(canonical, by_position) for canonical in self.columns}

    def _cells_of(self, canonical: str, by_position: Mapping[int, Sequence[Any]]) -> Sequence[Any]:
        if canonical == FEATURES:
            rows = zip(*(by_position[index] for index in self.positions_of(canonical)), strict=True)
            return [dict(zip(self.record_names, row, strict=True)) for row in rows]
        if canonical not in self.joined:
            return by_position[self.columns[canonical]]
        return [_join(row) for row in zip(*map(by_position.__getitem__, self.joined[canonical]), strict=True)]

    def unread(self, columns: Sequence[CellColumn]) -> list[str]:
        """List the names of unread columns."""
        used = {*self.cell_positions, *self.pixels}
        return [column.name for index, column in enumerate(columns) if index not in used]

    def to_request(self, columns: Sequence[CellColumn]) -> dict[str, str | int]:
        """Express the layout as the `columns` parameter of an upload that asks for it."""
        request: dict[str, str | int] = {**self.names(columns)}
        if not self.pixels:
            return request
        height, width, channels = self.shape
        request["image"] = f"{columns[self.pixels[0]].name}:{columns[self.pixels[-1]].name}"
        return {**request, "shape": f"{height}x{width}" if channels == 1 else f"{height}x{width}x{channels}"}


@dataclass(frozen=True, slots=True)
class ColumnQuery:
    """Columns of a file together with what the user and the task require of them."""

    columns: Sequence[CellColumn]
    #: Canonical column -> the name or the position from 1 that the user chose for it.
    requested: Mapping[str, str | int]
    #: Canonical columns of the task that the data is for -> their type; None if no task was named.
    required: Mapping[str, str] | None
    #: Whether the names of `columns` come from the file.
    has_header: bool

    def position(self, name_or_position: str | int) -> int:
        """Return the position from 0 of a column.

        Raises `DataRejected` if the file has no such column.
        """
        count = len(self.columns)
        if isinstance(name_or_position, int) and not isinstance(name_or_position, bool):
            if 1 <= name_or_position <= count:
                return name_or_position - 1
        elif name_or_position in self.names:
            return self.names.index(name_or_position)
        listed = ", ".join(self.names[:MAX_LISTED_NAMES]) + (", ..." if count > MAX_LISTED_NAMES else "")
        raise DataRejected(
            "column_missing",
            actual=f"no column {name_or_position}",
            expected=f"one of {listed}, or a position 1 to {count}",
        )

    def positions(self, request: str | int) -> list[int]:
        """Return the positions of a column, or of several to be joined.

        "instruction + input" names two.

        Raises `DataRejected` if the file lacks one of them.
        """
        if not isinstance(request, str) or request in self.names:
            return [self.position(request)]
        return [self.position(name) for name in request.split(JOIN_SIGN)]

    def position_by_alias(self, canonical: str) -> int | None:
        """Return the position of a column with a usual name of `canonical`.

        Returns None if there is none, or in a file without a header.
        """
        return position_of(canonical, self.lower_names) if self.has_header else None

    def position_by_names(self, names: Sequence[str]) -> int | None:
        """Return the position of the first of `names`, or None without a header."""
        present = [name for name in names if self.has_header and name in self.lower_names]
        return self.lower_names.index(present[0]) if present else None

    def position_of(self, canonical: str) -> int | None:
        """Return the requested position of `canonical`, else one by usual names."""
        if canonical in self.requested:
            return self.position(self.requested[canonical])
        return self.position_by_alias(canonical)

    def unassigned_positions(self, assigned: Mapping[str, int], *, kind: CellKind | None = None) -> list[int]:
        """List the positions of columns that may hold data and are not assigned.

        `kind` restricts the list to one kind. Columns that only refer to something are left out if there are texts.
        """
        has_texts = any(column.kind == "text" and not column.is_reference for column in self.columns)
        return [
            index
            for index, column in enumerate(self.columns)
            if index not in assigned.values() and not NON_DATA_NAME.fullmatch(column.name.strip())
            if column.kind != "other" and kind in (None, column.kind) and not (has_texts and column.is_reference)
            if not (column.kind == "number" and column.is_distinct)
            if not (self.has_header and plain_name(column.name) in REJECTED_NAMES and not column.repeats_values)
        ]

    def check_complete(self, canonicals: Sequence[str], assigned: Mapping[str, int]) -> None:
        """Raise `DataRejected` if one of `canonicals` has no column."""
        missing = [canonical for canonical in canonicals if canonical not in assigned]
        if missing:
            listed = ", ".join(self.names[:MAX_LISTED_NAMES])
            aliases = "; ".join(f"{canonical}: {', '.join(ALIASES[canonical][:4])}" for canonical in missing)
            raise DataRejected(
                "no_columns",
                actual=f"no column for {', '.join(missing)} among {listed}",
                expected=f"a column named like {aliases}",
            )

    @property
    def lower_names(self) -> list[str]:
        """Names of the columns, to be compared with usual names."""
        return [plain_name(column.name) for column in self.columns]

    @property
    def names(self) -> list[str]:
        """Names of the columns, as the file writes them."""
        return [column.name for column in self.columns]


def _join(cells: Sequence[Any]) -> Any:
    """Join the texts of one row.

    A cell that is no text is returned as it is, to be reported.
    """
    texts = ["" if cell is None else cell for cell in cells]
    wrong = next((cell for cell in texts if isinstance(cell, dict | list | bytes)), None)
    if wrong is not None:
        return wrong
    return JOIN_TEXT.join(stripped for cell in texts if (stripped := str(cell).strip()))
