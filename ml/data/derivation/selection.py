"""Rows of stored datasets that operations select, and their classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ml.data.dataset import SPLITS, Dataset, array_path, table_path
from ml.data.rows import ImageArray, Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from ml.data.flagged_rows import RowPosition
    from ml.data.rows import Rows

LABEL: Final = "label"
OBJECTS: Final = "objects"
#: Bytes of the hash of a row.
HASH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """A dataset that rows are taken from, and its name."""

    dataset: Dataset
    name: str

    def rows(self, split: str, *, is_raw: bool = False) -> Rows:
        """Return the rows of one split."""
        return self.dataset.rows(split, is_raw=is_raw)

    def bytes_per_row(self, split: str) -> int:
        """Return the mean bytes of a row in the files of a split."""
        summary, directory = self.dataset.summary, self.dataset.directory
        paths = [table_path(directory, split), *(array_path(directory, split, name) for name in summary.columns)]
        size = sum(path.stat().st_size for path in paths if path.exists())
        return max(1, size // max(1, summary.splits[split]))


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """A change of the objects in images of the first `parts` parts."""

    parts: int
    #: Returns the new objects of the image at a split and position, from its present ones.
    apply: Callable[[str, int, Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Selection:
    """N rows: where they come from, their split and their class.

    The operations replace it; the first part is the dataset that is derived from.
    """

    parts: tuple[DatasetPart, ...]
    #: int16 [N] into `parts`.
    part_codes: np.ndarray
    #: int8 [N] into `SPLITS`.
    splits: np.ndarray
    #: Positions within the split of the part, int64 [N].
    indices: np.ndarray
    #: int32 [N] into `classes`; -1 without labels.
    codes: np.ndarray
    #: Classes of the rows, or of the objects in them.
    classes: tuple[str, ...]
    #: Changes of the objects in images, in their order.
    object_changes: tuple[ObjectChange, ...] = ()

    @classmethod
    def of(cls, part: DatasetPart) -> Self:
        """Select all rows of a dataset."""
        counts = [part.dataset.summary.splits.get(split, 0) for split in SPLITS]
        codes = [_codes_of(part, split, count) for split, count in zip(SPLITS, counts, strict=True)]
        return cls(
            parts=(part,),
            part_codes=np.zeros(sum(counts), dtype=np.int16),
            splits=np.repeat(np.arange(len(SPLITS), dtype=np.int8), counts),
            indices=np.concatenate([np.arange(count, dtype=np.int64) for count in counts]),
            codes=np.concatenate(codes),
            classes=tuple(part.dataset.summary.classes or ()),
        )

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def columns(self) -> Mapping[str, str]:
        """Canonical column -> name of its column type."""
        return self.parts[0].dataset.summary.columns

    @property
    def data_columns(self) -> list[str]:
        """Names of all columns but the label, the key column first."""
        return [name for name, column_type in self.columns.items() if column_type != LABEL]

    @property
    def object_column(self) -> str | None:
        """Name of the column with the objects in images; None without one."""
        return find_objects(self.columns)

    def change_objects(
        self,
        apply: Callable[[str, int, Sequence[Mapping[str, Any]]], list[dict[str, Any]]],
        classes: Sequence[str],
        *,
        parts: int | None = None,
    ) -> Self:
        """Add a change of the objects in images, with the classes after it.

        It holds for the first `parts` parts, by default for all that are joined by now.
        """
        changes = (*self.object_changes, ObjectChange(parts or len(self.parts), apply))
        return replace(self, object_changes=changes, classes=tuple(classes))

    def objects(self, part: DatasetPart, split: str, row: int, objects: Any) -> Any:
        """Return the objects of one row, as an `AnnotatedObjects`, after all changes."""
        number, index = self.parts.index(part), int(self.indices[row])
        for change in self.object_changes:
            if number < change.parts:
                objects = replace(objects, objects=change.apply(split, index, objects.objects))
        return objects

    def take(self, rows: np.ndarray) -> Self:
        """Keep the rows of a mask or of positions."""
        arrays = {name: getattr(self, name)[rows] for name in ("part_codes", "splits", "indices", "codes")}
        return replace(self, **arrays)

    def join(self, addition: Self) -> Self:
        """Append the rows of a selection from another dataset."""
        classes = (*self.classes, *(name for name in addition.classes if name not in self.classes))
        translation = np.array([*(classes.index(name) for name in addition.classes), -1], dtype=np.int32)
        return replace(
            self,
            parts=(*self.parts, *addition.parts),
            part_codes=np.concatenate([self.part_codes, addition.part_codes + np.int16(len(self.parts))]),
            splits=np.concatenate([self.splits, addition.splits]),
            indices=np.concatenate([self.indices, addition.indices]),
            codes=np.concatenate([self.codes, translation[addition.codes]]),
            classes=classes,
        )

    def relabel(self, codes: np.ndarray, classes: Sequence[str]) -> Self:
        """Replace the classes; `codes`: int32 [N] into `classes`."""
        return replace(self, codes=codes.astype(np.int32), classes=tuple(classes))

    def find(self, positions: Sequence[RowPosition]) -> np.ndarray:
        """Return where rows of the first part are in the selection, int64 [len(positions)].

        -1 for a row that is no longer selected.
        """
        split_codes = np.array([SPLITS.index(position.split) for position in positions], dtype=np.int64)
        keys = np.array([position.index for position in positions], dtype=np.int64) * len(SPLITS) + split_codes
        own_rows = np.flatnonzero(self.part_codes == 0)
        own_keys = self.indices[own_rows] * len(SPLITS) + self.splits[own_rows]
        order = np.argsort(own_keys)
        if not len(order):
            return np.full(len(keys), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(own_keys, keys, sorter=order), len(order) - 1)
        matches = order[places]
        return np.where(own_keys[matches] == keys, own_rows[matches], -1)

    def groups(self) -> Iterator[tuple[DatasetPart, str, np.ndarray]]:
        """Yield part, split and the rows that come from them, int64 [n], split by split."""
        for code, split in enumerate(SPLITS):
            for number, part in enumerate(self.parts):
                rows = np.flatnonzero((self.splits == code) & (self.part_codes == number))
                if len(rows):
                    yield part, split, rows

    def values(self, column: str) -> Iterator[tuple[int, Any]]:
        """Yield each row with its value of one column, decoded."""
        for part, split, rows in self.groups():
            values = part.rows(split).columns[column]
            for row in rows.tolist():
                yield row, values[int(self.indices[row])]

    def find_values(self, column: str, digests: Collection[bytes], *, splits: Collection[str]) -> np.ndarray:
        """Return bool [N]: the rows of these splits whose value has one of `digests`."""
        matches = np.zeros(len(self), dtype=bool)
        for part, split, rows in self.groups():
            if split in splits:
                values = part.rows(split).columns[column]
                matches[rows] = [digest(values[int(self.indices[row])]) in digests for row in rows.tolist()]
        return matches

    def hashes(self) -> np.ndarray:
        """Return uint64 [N], equal for rows with equal values and labels."""
        hashes = np.empty(len(self), dtype=np.uint64)
        for part, split, rows in self.groups():
            columns = part.rows(split).columns
            for row in rows.tolist():
                digest = blake2b(str(self.codes[row]).encode(), digest_size=HASH_BYTES)
                for column in self.data_columns:
                    digest.update(_to_hashable(columns[column][int(self.indices[row])]))
                hashes[row] = int.from_bytes(digest.digest(), "little")
        return hashes


def has_labels(dataset: Dataset) -> bool:
    """Return whether rows have one class each."""
    return LABEL in dataset.summary.columns.values()


def find_objects(columns: Mapping[str, str]) -> str | None:
    """Return the name of the column with objects in images, or None."""
    return next((name for name, column_type in columns.items() if column_type == OBJECTS), None)


def label_column(columns: Mapping[str, str]) -> str | None:
    """Return the name of the column with the labels, or None."""
    return next((name for name, column_type in columns.items() if column_type == LABEL), None)


def raw_values(rows: Rows, column: str, indices: np.ndarray) -> Any:
    """Return raw values of one column as batches of formats hold them."""
    values = rows.columns[column]
    if isinstance(values, ImageArray):
        return values.take(indices).array
    return [values[index] for index in indices.tolist()]


def _codes_of(part: DatasetPart, split: str, count: int) -> np.ndarray:
    name = label_column(part.dataset.summary.columns)
    if name is None or not count:
        return np.full(count, -1, dtype=np.int32)
    labels = part.rows(split).columns[name]
    assert isinstance(labels, Labels), "labels are stored as codes"
    return labels.codes.astype(np.int32)


def digest(value: Any) -> bytes:
    """Return a hash that is equal for equal values of a column."""
    return blake2b(_to_hashable(value), digest_size=2 * HASH_BYTES).digest()


def _to_hashable(value: Any) -> bytes:
    """Return bytes that are equal for equal values."""
    samples = getattr(value, "samples", value)
    if isinstance(samples, np.ndarray):
        return repr(samples.shape).encode() + np.ascontiguousarray(samples).tobytes()
    return repr(value).encode("utf-8", "replace")
