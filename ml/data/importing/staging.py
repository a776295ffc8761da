"""Staging area of an import: values in a scratch file, the rest in memory.

About 40 bytes per row stay in memory, whatever the size of the values. They suffice to decide on splits, duplicates and
classes. N rows are staged.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.column_types.base import HASH_BYTES, CheckedValues
from ml.data.cross_checks import CROSS_CHECKS
from ml.data.dataset import SPLITS
from ml.data.importing.unread_cells import UnreadCells
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ml.data.column_types.base import ColumnType
    from ml.data.cross_checks.base import CrossCheck
    from ml.data.formats.base import Batch
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits
    from ml.data.locations import Locations

LABEL: Final = "label"
#: Column type of places in the pixels of an image.
OBJECTS: Final = "objects"
#: Rows without a group have numbers from here; the hashes of files in the upper bits of others make collisions rare.
FIRST_NUMBER: Final = np.uint64(1 << 63)
#: Split code of a row for which the data names no split.
NO_SPLIT: Final = -1
#: Label code of a row without a label.
NO_LABEL: Final = -1
#: Label code of a row whose label was rejected; such rows are not staged.
_REJECTED: Final = -2


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Range of the scratch file with the values of one column in one segment."""

    offset: int
    #: Shape of one plain value; None for values stored as bytes.
    shape: tuple[int, ...] | None
    #: Bytes of every value, int64 [n].
    lengths: np.ndarray


@dataclass(frozen=True, slots=True)
class Segment:
    """Staged rows of one batch."""

    #: Position of its first row among all staged rows.
    start: int
    locations: Locations
    #: Rows of the batch that are staged, int64 [n].
    rows: np.ndarray
    #: Column -> range of the scratch file.
    byte_ranges: Mapping[str, ByteRange]
    #: Locations in the uploads that the rows of the batch first came from.
    origins: Locations

    def __len__(self) -> int:
        return len(self.rows)


class Staging:
    """Accepts batches; afterwards `hashes`, `codes` and `splits` have one entry per row.

    `type_names`: canonical column -> name of its column type. The label is no column here, it is in `codes`.
    """

    def __init__(self, file: IO[bytes], *, type_names: Mapping[str, str], issues: IssueLog, limits: Limits) -> None:
        self._file = file
        self._type_names = type_names
        self._issues = issues
        self._limits = limits
        #: Type of every column in the data, the key column first.
        self.column_types: dict[str, ColumnType[Any]] = {}
        self.segments: list[Segment] = []
        self._starts: list[int] = []
        #: Label -> code, in order of appearance.
        self.label_codes: dict[str, int] = {}
        #: Names of the classes in their final order, once they are resolved; None without labels.
        self.classes: list[str] | None = None
        #: int32 [N] into `classes`; -1 for a row without a label.
        self.class_codes: np.ndarray = np.empty(0, dtype=np.int32)
        self._cross_checks: list[CrossCheck] | None = None
        self._hashes: dict[str, list[np.ndarray]] = {}
        self._codes: list[np.ndarray] = []
        self._splits: list[np.ndarray] = []
        #: One entry per segment; None for rows that belong to nothing.
        self._groups: list[np.ndarray | None] = []
        self._parents: list[np.ndarray] = []
        self._subjects: list[np.ndarray] = []
        #: Name of the column of subjects; "" without one.
        self.subject_name = ""
        #: Columns that a row may lack -> number of rows that do; their stored value is empty.
        self.missing: dict[str, int] = {}
        #: Number of rows of the version that others are appended to; they come first.
        self.earlier_rows = 0
        #: Cells of columns that are not learned from.
        self.unread_cells = UnreadCells()
        #: Rows whose label says that they have none, int64.
        self._marked_rows = np.empty(0, dtype=np.int64)
        #: Number of staged rows that are rejected because their label is several.
        self.joined_labels = 0
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, batch: Batch) -> None:
        """Check a batch and stage its valid rows.

        Raises `DataRejected` if the upload exceeds a limit, or batches have different columns or nothing but labels.
        """
        previous_types = dict(self.column_types)
        self.missing = dict.fromkeys(sorted(batch.optional), 0) | self.missing
        checked = self._check(batch)
        if not checked:
            at = Location(file=batch.locations.at(0).file if len(batch.locations) else None)
            raise DataRejected("no_columns", actual="labels alone", expected="a column with texts or images", at=at)
        if previous_types and checked.keys() != previous_types.keys():
            self.column_types = previous_types
            at = Location(file=batch.locations.at(0).file)
            raise columns_differ(checked, previous_types, at)
        rows = next(reversed(checked.values())).rows
        codes = self._encode_labels(batch, rows)
        rows = rows[codes != _REJECTED]
        if len(self) + len(rows) > self._limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")
        for cross_check in self.cross_checks:
            cross_check.check(batch.columns, rows, batch.locations)
            if batch.unread:
                cross_check.check_unread(batch.unread, rows)
        byte_ranges = {}
        for column, values in checked.items():
            accepted = values.select(rows)
            if column in self.missing:
                self.missing[column] += sum(not len(value) for value in accepted.data)
            byte_ranges[column] = self._write(accepted)
            self._hashes.setdefault(column, []).append(accepted.hashes)
        self.unread_cells.add(batch.unread or {}, rows, start=self._rows)
        split = SPLITS.index(batch.split) if batch.split else NO_SPLIT
        self._codes.append(codes[codes != _REJECTED])
        self._splits.append(np.full(len(rows), split, dtype=np.int8))
        self._groups.append(_number_groups(batch, rows))
        self._parents.append(np.zeros(len(rows), dtype=np.uint64) if batch.parents is None else batch.parents[rows])
        self.subject_name = self.subject_name or batch.subject_name
        self._subjects.append(_hash_names(batch.subjects, rows))
        self._starts.append(self._rows)
        self.segments.append(Segment(self._rows, batch.locations, rows, byte_ranges, batch.origins or batch.locations))
        self._rows += len(rows)

    @property
    def cross_checks(self) -> Sequence[CrossCheck]:
        """Cross checks whose columns are all in the data, and in every row."""
        if self._cross_checks is None:
            type_names = {
                column: column_type.name
                for column, column_type in self.column_types.items()
                if column not in self.missing
            }
            classes = [check for check in CROSS_CHECKS.values() if check.applies_to(type_names)]
            self._cross_checks = [check(issues=self._issues) for check in classes]
        return self._cross_checks

    @property
    def key_column(self) -> str:
        """The first column; rows with equal values in it are copies."""
        return next(iter(self.column_types))

    @property
    def hashes(self) -> np.ndarray:
        """Hashes of the key column, uint8 [N, 16].

        Equal values have equal hashes, however they were packed.
        """
        return self.hashes_of(self.key_column) if self.column_types else np.empty((0, HASH_BYTES), dtype=np.uint8)

    def hashes_of(self, column: str) -> np.ndarray:
        """Return the hashes of one column, uint8 [N, 16]."""
        return np.concatenate([np.empty((0, HASH_BYTES), dtype=np.uint8), *self._hashes[column]])

    @property
    def codes(self) -> np.ndarray:
        """Label codes, int32 [N] into `label_codes`, `NO_LABEL` for a row without a label."""
        return np.concatenate([np.empty(0, dtype=np.int32), *self._codes])

    @property
    def is_marked_unlabeled(self) -> np.ndarray:
        """Mask of the rows whose label was removed, bool [N]."""
        return np.isin(np.arange(len(self)), self._marked_rows)

    def rename_labels(self, names: Mapping[str, str]) -> None:
        """Give labels other names, which differ, by their earlier ones."""
        self.label_codes = {names.get(label, label): code for label, code in self.label_codes.items()}

    def remove_labels(self, labels: Collection[str]) -> None:
        """Take their label from all rows with one of `labels`, which are then no classes.

        Call it once all rows are staged.
        """
        codes = self.codes
        self._marked_rows = np.flatnonzero(np.isin(codes, [self.label_codes[label] for label in labels]))
        retained = [label for label in self.label_codes if label not in labels]
        new_codes = np.full(len(self.label_codes) + 1, NO_LABEL, dtype=np.int32)  # the last is for `NO_LABEL`
        new_codes[[self.label_codes[label] for label in retained]] = np.arange(len(retained))
        self._codes = [new_codes[codes]]
        self.label_codes = {label: code for code, label in enumerate(retained)}

    @property
    def splits(self) -> np.ndarray:
        """Split codes, int8 [N] into `SPLITS`, `NO_SPLIT` where the data names none."""
        return np.concatenate([np.empty(0, dtype=np.int8), *self._splits])

    @property
    def groups(self) -> np.ndarray | None:
        """Numbers of what rows belong to, uint64 [N]; None if no batch names groups.

        Rows of other batches, such as stored ones, have numbers of their own.
        """
        if all(groups is None for groups in self._groups):
            return None
        numbers = np.arange(len(self), dtype=np.uint64) + FIRST_NUMBER
        for segment, groups in zip(self.segments, self._groups, strict=True):
            if groups is not None:
                numbers[segment.start : segment.start + len(segment)] = groups
        return numbers

    @property
    def parents(self) -> np.ndarray | None:
        """Hashes of the files that rows were cut from, uint64 [N], 0 without one.

        None if no row was cut from anything.
        """
        parents = np.concatenate([np.empty(0, dtype=np.uint64), *self._parents])
        return parents if parents.any() else None

    @property
    def subjects(self) -> np.ndarray:
        """Hashes of the subjects of rows, uint64 [N]; 0 for a row without one."""
        return np.concatenate([np.empty(0, dtype=np.uint64), *self._subjects])

    def locate(self, row: int, column: str | None = None) -> Location:
        """Return the location of a staged row, or of one canonical column of it."""
        segment = self.segments[bisect.bisect_right(self._starts, row) - 1]
        locations = segment.locations if column is None else segment.locations.in_column(column)
        return locations.at(int(segment.rows[row - segment.start]))

    def read_segments(self) -> Iterator[tuple[Segment, dict[str, np.ndarray | list[bytes]]]]:
        """Yield all segments with their stored values by column."""
        self._file.flush()
        for segment in self.segments:
            yield segment, {column: self._read(byte_range) for column, byte_range in segment.byte_ranges.items()}

    def values_of(self, column: str) -> Iterator[Any]:
        """Yield the N stored values of one column."""
        self._file.flush()
        for segment in self.segments:
            yield from self._read(segment.byte_ranges[column])

    def _read(self, byte_range: ByteRange) -> np.ndarray | list[bytes]:
        self._file.seek(byte_range.offset)
        data = self._file.read(int(byte_range.lengths.sum()))
        if byte_range.shape is not None:
            return np.frombuffer(data, dtype=np.uint8).reshape(-1, *byte_range.shape)
        ends = np.cumsum(byte_range.lengths)
        return [data[end - length : end] for end, length in zip(ends, byte_range.lengths, strict=True)]

    def _check(self, batch: Batch) -> dict[str, CheckedValues]:
        """Check the columns in turn, only at rows valid so far: none is rejected twice."""
        rows = np.arange(len(batch.locations))
        checked = {}
        for column, values in batch.columns.items():
            if column == LABEL:
                continue
            if column not in self.column_types:
                type_class = COLUMN_TYPES[self._type_names[column]]
                self.column_types[column] = type_class(issues=self._issues, limits=self._limits_of_columns())
            column_type = self.column_types[column]
            values_with_context = column_type.add_context(values, batch.columns)
            check = _check_optional if column in batch.optional else _check_all
            checked[column] = check(column_type, values_with_context, rows, batch.locations.in_column(column))
            rows = checked[column].rows
        return checked

    def _limits_of_columns(self) -> Limits:
        """Return the limits; images keep their size where objects are placed in their pixels."""
        has_places = OBJECTS in self._type_names.values()
        return replace(self._limits, max_kept_side=None) if has_places else self._limits

    def _write(self, values: CheckedValues) -> ByteRange:
        offset, data = self._file.tell(), values.data
        if isinstance(data, np.ndarray):
            self._file.write(np.ascontiguousarray(data).data)
            lengths = np.full(len(data), data[:1].nbytes, dtype=np.int64)
            return ByteRange(offset, data.shape[1:], lengths)
        self._file.writelines(data)
        return ByteRange(offset, None, np.array([len(value) for value in data], dtype=np.int64))

    def _encode_labels(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        """Return the label codes of `rows`, int32 [len(rows)]; `_REJECTED` for an invalid label."""
        labels = batch.columns.get(LABEL)
        if labels is None:
            return np.full(len(rows), NO_LABEL, dtype=np.int32)
        locations = batch.locations.in_column(LABEL)
        return np.array([self._encode_label(labels[row], locations.at(row)) for row in rows.tolist()], dtype=np.int32)

    def _encode_label(self, value: str, at: Location) -> int:
        try:
            label = self._label_type.pack(value, at).decode()
        except DataRejected as rejection:
            self._issues.record(rejection, at=at, rows=1)
            return _REJECTED
        if not label:
            return NO_LABEL
        if label not in self.label_codes and len(self.label_codes) >= self._limits.max_classes:
            actual = f"more than {self._limits.max_classes:,} different labels"
            raise DataRejected("too_many_classes", actual=actual)
        return self.label_codes.setdefault(label, len(self.label_codes))

    @cached_property
    def _label_type(self) -> ColumnType[Any]:
        return COLUMN_TYPES[LABEL](issues=self._issues, limits=self._limits)


def columns_differ(columns: Iterable[str], expected: Iterable[str], at: Location) -> DataRejected:
    """Return the rejection of a file by its canonical columns.

    `expected`: columns of the rows before it.
    """
    present, required = list(columns), list(expected)
    differences = [f"without {name}" for name in required if name not in present]
    differences += [f"{name} besides" for name in present if name not in required]
    actual = f"{', '.join(present)} ({', '.join(differences)})"
    return DataRejected("columns_differ", actual=actual, expected=", ".join(required), at=at)


def _check_all(
    column_type: ColumnType[Any], values: Sequence[Any], rows: np.ndarray, locations: Locations
) -> CheckedValues:
    return column_type.check(values, rows, locations)


def _check_optional(
    column_type: ColumnType[Any], values: Sequence[Any], rows: np.ndarray, locations: Locations
) -> CheckedValues:
    """Check the values that are present.

    A missing one is stored as no bytes, with a hash of zeros.
    """
    if isinstance(values, np.ndarray):  # plain values of one shape, which all rows have
        return column_type.check(values, rows, locations)
    is_missing = np.array([values[row] is None for row in rows.tolist()], dtype=bool)
    present = column_type.check(values, rows[~is_missing], locations)
    accepted = np.sort(np.concatenate([present.rows, rows[is_missing]]))
    data, hashes = [b""] * len(accepted), np.zeros((len(accepted), HASH_BYTES), dtype=np.uint8)
    positions = np.searchsorted(accepted, present.rows)
    for position, value in zip(positions.tolist(), present.data, strict=True):
        data[position] = value
    hashes[positions] = present.hashes
    return CheckedValues(accepted, data, hashes)


def _number_groups(batch: Batch, rows: np.ndarray) -> np.ndarray | None:
    """Return numbers of what rows belong to, uint64 [len(rows)]; None without groups.

    They are unique within the upload.
    """
    if batch.groups is None:
        return None
    # Groups of a batch of several files are unique by themselves.
    file = batch.locations.files if isinstance(batch.locations.files, str) else ""
    groups: np.ndarray = np.array(batch.groups, dtype=np.uint64)[rows]
    return groups ^ np.uint64(crc32(file.encode()) << 32)


def _hash_names(names: Sequence[str] | np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Return a hash of the name of each row, uint64 [len(rows)]; 0 for no name.

    Hashes remain as they are.
    """
    if isinstance(names, np.ndarray):
        return np.asarray(names[rows])
    if names is None:
        return np.zeros(len(rows), dtype=np.uint64)
    hashes = (blake2b(names[row].encode(), digest_size=8).digest() if names[row] else bytes(8) for row in rows.tolist())
    return np.frombuffer(b"".join(hashes), dtype=np.uint64)
