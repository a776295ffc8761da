"""Columns of splits, and of the patients, speakers or users that rows are about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.files.upload import parse_split
from ml.data.formats.base import Batch
from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import plain_name, position_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.issues import IssueLog
    from ml.data.tables.layout import CellColumn

SPLIT: Final = "split"
GROUP: Final = "group"
#: Names of a column of splits, if its first cells name some.
_SPLIT_NAME: Final = re.compile(r"(data(set)?_?)?(split|subset|partition|fold|set|usage|phase)", re.IGNORECASE)
#: Names of a column that marks the rows of a split, as fastai writes it, and the split of the others.
_MARK_NAME: Final = re.compile(r"(is|in)_?(train\w*|val\w*|dev|test\w*|eval)", re.IGNORECASE)
_MARKS: Final = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}
_UNMARKED: Final = {"train": "test", "validation": "train", "test": "train"}
#: Names of what several rows may be about, so that a model must not learn from some of them and be judged on others.
_GROUP_NAME: Final = re.compile(
    r"group_?ids?|(patient|participant|person|speaker|author|customer|client|user|member|conversation|session|video"
    r"|recording|document|doc|case|study|subject|household|device)(_?(id|no|nr|number))",
    re.IGNORECASE,
)
#: Such names that need no id behind them.
_GROUP_WORDS: Final = frozenset({"patient", "participant", "speaker", "respondent"})
#: Names that may be those of classes as well: the first cells then have at least `_MIN_GROUPS` values.
_OPEN_WORDS: Final = frozenset({"group", "user", "author", "person", "customer", "client", "session", "device"})
_MIN_GROUPS: Final = 5
#: Those that a model may be asked about again, so that their ids may be features: ratings are learned by user.
_RETURNING_NAME: Final = re.compile(
    r"(customer|client|user|member|author|device|household)(_?(id|no|nr|number))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Memberships:
    """Positions, from 0, of the columns of splits and groups."""

    split: int | None = None
    group: int | None = None
    #: Split that the column of splits marks with true or 1; None if it names them.
    marked_split: str | None = None
    #: Name of the column of groups.
    group_name: str = ""
    #: Columns that are not learned from, but compared with the label: position -> name.
    unread: Mapping[int, str] = field(default_factory=dict)

    @property
    def positions(self) -> list[int]:
        """Positions to read."""
        return [*(position for position in (self.split, self.group) if position is not None), *self.unread]

    def names(self, columns: Sequence[CellColumn]) -> dict[str, str]:
        """Return the names of the columns by what they hold."""
        pairs = ((SPLIT, self.split), (GROUP, self.group))
        return {name: columns[position].name for name, position in pairs if position is not None}

    def divide(
        self, batch: Batch, cells: Mapping[int, Sequence[Any]], *, requested_split: str | None, issues: IssueLog
    ) -> Iterator[Batch]:
        """Yield the rows of a batch by split, with their groups.

        A row of an unknown split becomes an issue.

        Args:
            batch: N rows, with the split of their file.
            cells: Position -> the N cells of a column in `positions`.
            requested_split: Split that the user chose for the file; takes precedence over the column.
            issues: Receives unknown splits.
        """
        if self.group is not None:
            groups = ["" if cell is None else str(cell).strip() for cell in cells[self.group]]
            batch = replace(batch, subjects=groups, subject_name=self.group_name)
        batch = replace(batch, unread={name: cells[position] for position, name in self.unread.items()})
        if self.split is None or requested_split is not None:
            yield batch
            return
        rows_by_split: dict[str | None, list[int]] = {}
        for row, cell in enumerate(cells[self.split]):
            name = "" if cell is None else str(cell).strip()
            split = self._parse(name) if name else batch.split
            if split is None and name:
                at = batch.locations.at(row)
                issues.add("split_unknown", at=at, actual=name, expected="train, validation or test", rows=1)
            else:
                rows_by_split.setdefault(split, []).append(row)
        for split, rows in rows_by_split.items():
            yield replace(_take(batch, rows), split=split)

    def _parse(self, name: str) -> str | None:
        """Return the split that a cell names or marks; None if it does neither."""
        if self.marked_split is None:
            return parse_split(name)
        mark = _MARKS.get(name.lower())
        return None if mark is None else self.marked_split if mark else _UNMARKED[self.marked_split]


def find_memberships(
    columns: Sequence[CellColumn], samples: Sequence[Sequence[Any]], requested: Mapping[str, str | int]
) -> Memberships:
    """Return the columns of splits and groups.

    They are those that the user names, else those with usual names.

    `samples` are the first cells of each column. Raises `DataRejected` if the file lacks a requested column.
    """
    samples = samples or [()] * len(columns)  # a table may have no row with as many cells as the first
    split = _requested_position(columns, requested, SPLIT)
    if split is None:
        split = next((index for index, cells in enumerate(samples) if _is_split(columns[index].name, cells)), None)
    marked = _find_mark(columns, samples) if split is None else None
    split, marked_split = marked or (split, None)
    group = _requested_position(columns, requested, GROUP)
    used = set(requested.values())
    if group is None:
        groups = [
            index
            for index, (column, cells) in enumerate(zip(columns, samples, strict=True))
            if _is_group(column.name, cells) and index != split and not _holds_class_names(column, cells)
        ]
        groups = [index for index in groups if columns[index].name not in used and index + 1 not in used]
        group = next(iter(groups), None)
    return Memberships(split, group, marked_split, "" if group is None else columns[group].name)


def hide(columns: Sequence[CellColumn], memberships: Memberships) -> list[CellColumn]:
    """Return the columns with those of splits and groups as columns that hold no data.

    Users and the like may still be features of a record.
    """
    hidden = memberships.positions
    returning = memberships.group if _RETURNING_NAME.fullmatch(plain_name(memberships.group_name)) else None
    return [
        replace(column, kind="other", is_membership=index != returning) if index in hidden else column
        for index, column in enumerate(columns)
    ]


def without_memberships(requested: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return the requested columns without those of splits and groups."""
    return {name: column for name, column in requested.items() if name not in (SPLIT, GROUP)}


def _requested_position(columns: Sequence[CellColumn], requested: Mapping[str, str | int], name: str) -> int | None:
    if name not in requested:
        return None
    request = requested[name]
    names = [column.name for column in columns]
    if isinstance(request, int) and 1 <= request <= len(names):
        return request - 1
    if request in names:
        return names.index(str(request))
    raise DataRejected("column_missing", actual=f"no column {request}", expected=f"one of {', '.join(names[:20])}")


def _is_split(name: str, cells: Sequence[Any]) -> bool:
    values = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    return bool(_SPLIT_NAME.fullmatch(name.strip())) and bool(values) and all(map(parse_split, values))


def _find_mark(columns: Sequence[CellColumn], samples: Sequence[Sequence[Any]]) -> tuple[int, str] | None:
    """Return the only column of marks and the split that it marks: `is_valid`.

    Without a label beside it, such a column may be the label.
    """
    names = [plain_name(column.name) for column in columns]
    if position_of("label", names) is None:
        return None
    marks = [
        (index, split)
        for index, (name, cells) in enumerate(zip(names, samples, strict=True))
        if (match := _MARK_NAME.fullmatch(name)) and (split := parse_split(match[2])) and _are_marks(cells)
    ]
    return marks[0] if len(marks) == 1 else None


def _are_marks(cells: Sequence[Any]) -> bool:
    values = {str(cell).strip().lower() for cell in cells if cell is not None} - {""}
    return bool(values) and values <= _MARKS.keys()


def _is_group(name: str, cells: Sequence[Any]) -> bool:
    bare = name.strip().lower()
    if bare in _OPEN_WORDS:
        return len(set(map(str, cells))) >= _MIN_GROUPS
    return bare in _GROUP_WORDS or bool(_GROUP_NAME.fullmatch(bare))


def _holds_class_names(column: CellColumn, cells: Sequence[Any]) -> bool:
    """Return whether a column called `group` holds names of classes.

    It repeats few words without a number, as the teams of a help desk.
    """
    has_numbers = any(character.isdigit() for cell in cells for character in str(cell))
    return plain_name(column.name) == GROUP and column.repeats_values and not has_numbers


def _take(batch: Batch, rows: list[int]) -> Batch:
    if len(rows) == len(batch.locations):
        return batch
    columns = {
        name: values[np.array(rows)] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        for name, values in batch.columns.items()
    }
    subjects = None if batch.subjects is None else [batch.subjects[row] for row in rows]
    parents = None if batch.parents is None else batch.parents[np.array(rows, dtype=int)]
    unread = {name: [cells[row] for row in rows] for name, cells in (batch.unread or {}).items()}
    locations = batch.locations.take(rows)
    return replace(batch, columns=columns, locations=locations, parents=parents, subjects=subjects, unread=unread)
