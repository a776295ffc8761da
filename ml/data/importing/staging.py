"""Between reading and writing: the values of every good row in one scratch file, what must be known of all in memory.

About 40 bytes a row stay in memory, whatever the values weigh: splits, duplicates and classes are decided on these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.column_types.base import HASH_BYTES
from ml.data.cross_checks import CROSS_CHECKS
from ml.data.dataset import SPLITS
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.column_types.base import CheckedValues, ColumnType
    from ml.data.cross_checks.base import CrossCheck
    from ml.data.formats.base import Batch
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits
    from ml.data.locations import Locations

LABEL: Final = "label"
NO_SPLIT: Final = -1
NO_LABEL: Final = -1


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The values of one column in one segment: where they lie in the scratch file."""

    offset: int
    shape: tuple[int, ...] | None
    """Of each plain value; None where bytes were kept."""
    lengths: np.ndarray
    """Bytes of each value."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of one batch."""

    start: int
    places: Locations
    rows: np.ndarray
    """Of the batch's rows, those that are staged."""
    stretches: Mapping[str, ByteRange]
    """By column."""

    def __len__(self) -> int:
        return len(self.rows)


class Staging:
    """Takes batches one by one; afterwards `hashes`, `codes` and `splits` hold one entry a row.

    `kinds` says by canonical column what its values are; labels are no column here, but `codes`.
    """

    def __init__(self, file: IO[bytes], *, kinds: Mapping[str, str], issues: IssueLog, limits: Limits) -> None:
        self._file = file
        self._known = kinds
        self._issues = issues
        self._limits = limits
        self.kinds: dict[str, ColumnType[Any]] = {}
        """By column that was brought, the key first."""
        self.segments: list[Segment] = []
        self.label_codes: dict[str, int] = {}
        """Names in the order they were met."""
        self._relations: list[CrossCheck] | None = None
        self._hashes: dict[str, list[np.ndarray]] = {}
        self._codes: list[np.ndarray] = []
        self._splits: list[np.ndarray] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, batch: Batch) -> None:
        """Check and keep the rows of a batch; raises `DataRejected` where the whole upload is beyond a limit."""
        known = dict(self.kinds)
        looked = self._look_at(batch)
        if known and looked.keys() != known.keys():
            self.kinds = known
            at = Location(file=batch.locations.at(0).file)
            raise DataRejected("columns_differ", actual=", ".join(looked), expected=", ".join(known), at=at)
        rows = next(reversed(looked.values())).rows
        codes = self._label(batch, rows)
        rows = rows[codes >= NO_LABEL]
        if len(self) + len(rows) > self._limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")
        for relation in self.relations:
            relation.check(batch.columns, rows, batch.locations)
        stretches = {}
        for column, found in looked.items():
            chosen = found.among(rows)
            stretches[column] = self._keep(chosen)
            self._hashes.setdefault(column, []).append(chosen.hashes)
        split = SPLITS.index(batch.split) if batch.split else NO_SPLIT
        self._codes.append(codes[codes >= NO_LABEL])
        self._splits.append(np.full(len(rows), split, dtype=np.int8))
        self.segments.append(Segment(self._rows, batch.locations, rows, stretches))
        self._rows += len(rows)

    @property
    def relations(self) -> Sequence[CrossCheck]:
        """Those between the columns that were brought."""
        if self._relations is None:
            known = {column: kind.name for column, kind in self.kinds.items()}
            fitting = [each for each in CROSS_CHECKS.values() if each.columns.items() <= known.items()]
            self._relations = [each(issues=self._issues) for each in fitting]
        return self._relations

    @property
    def key(self) -> str:
        """The column that says whether two rows are the same: the first that is brought."""
        return next(iter(self.kinds))

    @property
    def hashes(self) -> np.ndarray:
        """uint8 [N, 16] of the key: equal values have equal hashes, however they were packed."""
        return self.hashes_of(self.key) if self.kinds else np.empty((0, HASH_BYTES), dtype=np.uint8)

    def hashes_of(self, column: str) -> np.ndarray:
        """uint8 [N, 16] of one column."""
        return np.concatenate([np.empty((0, HASH_BYTES), dtype=np.uint8), *self._hashes[column]])

    @property
    def codes(self) -> np.ndarray:
        """int32 [N] into `label_codes`, `NO_LABEL` where a row has none."""
        return np.concatenate([np.empty(0, dtype=np.int32), *self._codes])

    @property
    def splits(self) -> np.ndarray:
        """int8 [N] into `SPLITS`, `NO_SPLIT` where the data says nothing."""
        return np.concatenate([np.empty(0, dtype=np.int8), *self._splits])

    def place(self, row: int, column: str | None = None) -> Location:
        """Where a staged row came from; or this column of it."""
        starts = [segment.start for segment in self.segments]
        segment = self.segments[int(np.searchsorted(starts, row, side="right")) - 1]
        places = segment.places if column is None else segment.places.in_column(column)
        return places.at(int(segment.rows[row - segment.start]))

    def load(self) -> Iterator[tuple[Segment, dict[str, np.ndarray | list[bytes]]]]:
        """Segment by segment, by column what was kept."""
        self._file.flush()
        for segment in self.segments:
            yield segment, {column: self._read(stretch) for column, stretch in segment.stretches.items()}

    def values_of(self, column: str) -> Iterator[Any]:
        """What was kept of one column, value by value."""
        self._file.flush()
        for segment in self.segments:
            yield from self._read(segment.stretches[column])

    def _read(self, stretch: ByteRange) -> np.ndarray | list[bytes]:
        self._file.seek(stretch.offset)
        data = self._file.read(int(stretch.lengths.sum()))
        if stretch.shape is not None:
            return np.frombuffer(data, dtype=np.uint8).reshape(-1, *stretch.shape)
        ends = np.cumsum(stretch.lengths)
        return [data[end - size : end] for end, size in zip(ends, stretch.lengths, strict=True)]

    def _look_at(self, batch: Batch) -> dict[str, CheckedValues]:
        """Column by column, each only at the rows that were good so far, so that no row is lost twice."""
        rows = np.arange(len(batch.locations))
        looked = {}
        for column, values in batch.columns.items():
            if column == LABEL:
                continue
            if column not in self.kinds:
                self.kinds[column] = COLUMN_TYPES[self._known[column]](issues=self._issues, limits=self._limits)
            kind = self.kinds[column]
            looked[column] = kind.check(kind.beside(values, batch.columns), rows, batch.locations.in_column(column))
            rows = looked[column].rows
        return looked

    def _keep(self, found: CheckedValues) -> ByteRange:
        offset, data = self._file.tell(), found.data
        if isinstance(data, np.ndarray):
            self._file.write(np.ascontiguousarray(data).data)
            lengths = np.full(len(data), data[:1].nbytes, dtype=np.int64)
            return ByteRange(offset, data.shape[1:], lengths)
        self._file.writelines(data)
        return ByteRange(offset, None, np.array([len(each) for each in data], dtype=np.int64))

    def _label(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        """int32 codes of the rows; below `NO_LABEL` where the label cannot be one."""
        labels = batch.columns.get(LABEL)
        if labels is None:
            return np.full(len(rows), NO_LABEL, dtype=np.int32)
        places = batch.locations.in_column(LABEL)
        return np.array([self._code(labels[row], places, row) for row in rows.tolist()], dtype=np.int32)

    def _code(self, given: str, places: Locations, row: int) -> int:
        try:
            label = self._labels.pack(given, places.at(row)).decode()
        except DataRejected as refused:
            self._issues.record(refused, at=places.at(row), rows=1)
            return NO_LABEL - 1
        if not label:
            return NO_LABEL
        if label not in self.label_codes and len(self.label_codes) >= self._limits.max_classes:
            raise DataRejected("too_many_classes", actual=f"more than {self._limits.max_classes:,} different labels")
        return self.label_codes.setdefault(label, len(self.label_codes))

    @cached_property
    def _labels(self) -> ColumnType[Any]:
        return COLUMN_TYPES[LABEL](issues=self._issues, limits=self._limits)
