"""What a kind promises: it checks raw values as they are brought, says what is kept of them, and reads it back.

N rows of a batch, n of them kept.
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
    """Those values of a batch that can be used."""

    rows: np.ndarray
    """int64 [n]: which of the batch's rows they are."""
    data: list[bytes] | np.ndarray
    """What is kept of each: bytes, or plain values of one shape, [n, ...]."""
    hashes: np.ndarray
    """uint8 [n, 16]: equal values have equal hashes, however they were packed."""

    def among(self, rows: np.ndarray) -> CheckedValues:
        """Those of them that are among `rows`."""
        chosen = np.flatnonzero(np.isin(self.rows, rows))
        if len(chosen) == len(self.rows):
            return self
        data = self.data[chosen] if isinstance(self.data, np.ndarray) else [self.data[index] for index in chosen]
        return CheckedValues(self.rows[chosen], data, self.hashes[chosen])


class ColumnType(ABC, Generic[Value]):
    """One column while it is imported; its class methods read what is stored. A new modality is one new kind.

    `Value` is what a row holds and encoders read.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    """What one value is called in a report."""
    distinct: ClassVar[bool] = True
    """Whether two rows with this value are copies of one: if so, none is both learned from and measured on."""

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        self.issues = issues
        self.limits = limits

    @abstractmethod
    def pack(self, value: Any, at: Location) -> bytes:
        """The bytes that are kept of a raw value, in the form formats bring it.

        Raises `DataRejected` where it cannot be used; a repair becomes an issue. Facts are gathered on the way.
        """

    @classmethod
    @abstractmethod
    def from_cell(cls, cell: Any) -> Any:
        """A cell of a table (CSV: text; JSON, Parquet: a value) as `pack` takes it; raises `DataRejected`."""

    @classmethod
    @abstractmethod
    def unpack(cls, data: bytes) -> Value:
        """What a row holds."""

    @classmethod
    def as_json(cls, value: Value) -> Any:
        """A value to be looked at."""
        return value

    def beside(self, values: Sequence[Any], columns: Mapping[str, Any]) -> Sequence[Any]:
        """The values of a batch with what its other columns tell of them."""
        return values

    def finish(self) -> None:
        """Every value was seen: what can only be said of all together becomes a finding."""

    def facts(self) -> dict[str, Any]:
        """What is known of all values together, as JSON, for the dataset's summary."""
        return {}

    def classes(self) -> Sequence[str]:
        """Names that the values hold as classes (of objects in a picture); none where they hold no such thing."""
        return ()

    def check(self, values: Sequence[Any], rows: np.ndarray, places: Locations) -> CheckedValues:
        """Check the values at `rows`; those that cannot be used become findings, by which a row each is lost."""
        kept, data, hashes = [], [], bytearray()
        for row in rows.tolist():
            try:
                packed = self.pack(values[row], places.at(row))
            except DataRejected as refused:
                self.issues.record(refused, at=places.at(row), rows=1)
                continue
            kept.append(row)
            data.append(packed)
            hashes += blake2b(packed, digest_size=HASH_BYTES).digest()
        return CheckedValues(np.array(kept, dtype=np.int64), data, to_hash_array(hashes))

    def plain_shape(self, rows: int) -> tuple[int, ...] | None:
        """The shape in which all `rows` values can lie as one uint8 array; None where they are stored as bytes."""
        return None

    def as_bytes(self, data: list[bytes] | np.ndarray, chosen: np.ndarray) -> list[bytes]:
        """The chosen of what `check` kept, to be stored as bytes."""
        return [data[index] for index in chosen]

    def as_arrays(self, data: list[bytes] | np.ndarray, chosen: np.ndarray) -> Sequence[np.ndarray]:
        """The same, to be stored as plain values in `plain_shape`."""
        raise NotImplementedError(f"{self.name} is stored as bytes")


def to_hash_array(joined: bytes | bytearray) -> np.ndarray:
    """uint8 [n, 16] of n hashes one after the other."""
    return np.frombuffer(bytes(joined), dtype=np.uint8).reshape(-1, HASH_BYTES)
