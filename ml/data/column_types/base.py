"""Base class of column types, which check, pack and unpack the values of a column.

N rows of a batch, n of them with a usable value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import numpy as np

from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits
    from ml.data.locations import Locations

Value = TypeVar("Value")

HASH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CheckedValues:
    """Usable values of a batch."""

    #: Rows of the batch that they belong to, int64 [n].
    rows: np.ndarray
    #: Values to store: bytes, or plain values of one shape, [n, ...].
    data: list[bytes] | np.ndarray
    #: uint8 [n, 16]; equal values have equal hashes, however they were packed.
    hashes: np.ndarray

    def select(self, rows: np.ndarray) -> CheckedValues:
        """Return the values that belong to `rows`."""
        selection = np.flatnonzero(np.isin(self.rows, rows))
        if len(selection) == len(self.rows):
            return self
        data = self.data[selection] if isinstance(self.data, np.ndarray) else [self.data[index] for index in selection]
        return CheckedValues(self.rows[selection], data, self.hashes[selection])


class ColumnType(ABC, Generic[Value]):
    """One column during its import; the class methods read stored values.

    A new modality is one new column type. `Value` is what a row contains and encoders read.
    """

    name: ClassVar[str]
    #: Name of one value in reports.
    noun: ClassVar[str]
    #: Whether rows with equal values are copies of one row, so that they must not be both trained and evaluated on.
    is_identifying: ClassVar[bool] = True

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        self.issues = issues
        self.limits = limits

    @abstractmethod
    def pack(self, value: Any, at: Location) -> bytes:
        """Return the bytes to store for a raw value, and update the facts.

        Raises `DataRejected` if the value cannot be used; a repair is reported as an issue at `at`.
        """

    @classmethod
    @abstractmethod
    def from_cell(cls, cell: Any) -> Any:
        """Convert a table cell to a raw value; raises `DataRejected`.

        Cells of CSV are texts, cells of JSON and Parquet are values.
        """

    @classmethod
    @abstractmethod
    def unpack(cls, data: bytes) -> Value:
        """Return the value of a row from its stored bytes."""

    @classmethod
    def to_raw(cls, data: bytes) -> Any:
        """Return the raw value that `pack` stored as these bytes."""
        return cls.unpack(data)

    @classmethod
    def to_json(cls, value: Value) -> Any:
        """Convert a value to JSON, to be displayed."""
        return value

    def are_copies(self, distinct: int, rows: int) -> bool:
        """Return whether rows with equal values are copies, if `rows` rows have `distinct` values."""
        return True

    def add_context(self, values: Sequence[Any], columns: Mapping[str, Any]) -> Sequence[Any]:
        """Return the values of a batch, completed with information from its other columns."""
        return values

    def finish(self) -> None:
        """Report issues that depend on all values together, after the last one."""

    def facts(self) -> dict[str, Any]:
        """Return facts about all values together, as JSON, for the summary of the dataset."""
        return {}

    def classes(self) -> Sequence[str]:
        """Return the class names inside the values (objects in an image); empty for most types."""
        return ()

    def check(self, values: Sequence[Any], rows: np.ndarray, locations: Locations) -> CheckedValues:
        """Check the values at `rows`, and report those that reject their row."""
        accepted_rows, data, hashes = [], [], bytearray()
        for row in rows.tolist():
            try:
                packed = self.pack(values[row], locations.at(row))
            except DataRejected as rejection:
                self.issues.record(rejection, at=locations.at(row), rows=1)
                continue
            accepted_rows.append(row)
            data.append(packed)
            hashes += blake2b(packed, digest_size=HASH_BYTES).digest()
        return CheckedValues(np.array(accepted_rows, dtype=np.int64), data, to_hash_array(hashes))

    def array_shape(self, rows: int) -> tuple[int, ...] | None:
        """Return the shape of one value, if all values are stored as one uint8 array.

        None if the `rows` values of the column are stored as bytes.
        """
        return None

    def to_bytes(self, data: list[bytes] | np.ndarray, selection: np.ndarray) -> list[bytes]:
        """Return the selected values of `CheckedValues.data` as bytes to store."""
        return [data[index] for index in selection]

    def to_arrays(self, data: list[bytes] | np.ndarray, selection: np.ndarray) -> Sequence[np.ndarray]:
        """Return the selected values of `CheckedValues.data` as arrays that `array_shape` describes."""
        raise NotImplementedError(f"{self.name} is stored as bytes")


def cell_to_text(cell: Any) -> str:
    """Return the plain text of a table cell, empty if missing."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return "" if cell is None else str(cell)


def to_hash_array(joined: bytes | bytearray) -> np.ndarray:
    """Convert n concatenated hashes to uint8 [n, 16]."""
    return np.frombuffer(bytes(joined), dtype=np.uint8).reshape(-1, HASH_BYTES)
