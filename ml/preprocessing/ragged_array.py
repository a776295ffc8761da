"""Arrays of different lengths in one flat array, in memory or mapped from files.

N rows, S values of all rows together.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: What an array was written as, beside the bytes of its values and the positions at which rows begin.
DESCRIPTION: Final = ".json"
VALUES: Final = ".values"
STARTS: Final = ".starts"


class RaggedArray(Sequence[np.ndarray]):
    """N rows as views of `values` [S, ...].

    `starts`: int64 [N + 1], the positions at which rows begin, with the end of all.
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray) -> None:
        self.values = values
        self.starts = starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: Any) -> Any:  # int -> [T, ...]; slice -> a list of them
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[int(index)]
        return self.values[self.starts[row] : self.starts[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Lengths of the rows, int64 [N]."""
        return np.diff(self.starts)

    @classmethod
    def open(cls, directory: Path, name: str) -> Self:
        """Map what a writer of this name has written.

        Raises `OSError` or `ValueError` if it is damaged.
        """
        description = json.loads((directory / f"{name}{DESCRIPTION}").read_bytes())
        shape, dtype = (-1, *description["shape"]), np.dtype(description["dtype"])
        values = _map(directory / f"{name}{VALUES}", dtype).reshape(shape)
        starts = _map(directory / f"{name}{STARTS}", np.dtype(np.int64))
        if len(starts) != description["rows"] + 1 or int(starts[-1]) != len(values):
            raise ValueError(f"{name} is incomplete")
        return cls(values, starts)


class MappedTexts(Sequence[str]):
    """Texts, stored as rows of bytes in UTF-8."""

    def __init__(self, rows: RaggedArray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:  # int -> str; slice -> a list of them
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return self._rows[index].tobytes().decode("utf-8", "surrogatepass")


def to_bytes(text: str) -> np.ndarray:
    """Return the bytes of a text, uint8 [T], as `MappedTexts` reads them."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)


class RaggedWriter:
    """Appends rows to the files of a `RaggedArray`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._values: IO[bytes] = (directory / f"{name}{VALUES}").open("wb")
        self._starts = array("q", [0])
        self._row: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._starts) - 1

    def extend(self, rows: Iterable[np.ndarray]) -> None:
        """Append rows; raises `ValueError` for one of another type or shape than the first."""
        for row in rows:
            self._write(row)
            self._starts.append(self._starts[-1] + len(row))

    def extend_array(self, block: np.ndarray) -> None:
        """Append the rows of an array [n, ...], one value each.

        Raises `ValueError` as `extend` does.
        """
        self._write(block)
        end = self._starts[-1]
        self._starts.extend(range(end + 1, end + 1 + len(block)))

    def _write(self, values: np.ndarray) -> None:
        if self._row is None:
            self._row = values[:0]
        expected = self._row
        if values.dtype != expected.dtype or values.shape[1:] != expected.shape[1:] or values.dtype.hasobject:
            raise ValueError(f"values are {values.dtype} {values.shape[1:]}, not {expected.dtype} {expected.shape[1:]}")
        self._values.write(np.ascontiguousarray(values).data)

    def close(self) -> None:
        """Close the file of values."""
        self._values.close()

    def finish(self) -> RaggedArray:
        """Complete the files, and map them."""
        self._values.close()
        (self._directory / f"{self._name}{STARTS}").write_bytes(self._starts)
        row = np.empty(0, dtype=np.float32) if self._row is None else self._row
        description = {"dtype": row.dtype.str, "shape": row.shape[1:], "rows": len(self)}
        (self._directory / f"{self._name}{DESCRIPTION}").write_text(json.dumps(description))
        return RaggedArray.open(self._directory, self._name)


def _map(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    """Map a file as a plain array: a `memmap` makes views slow.

    What is written to the array is seen by this process alone.
    """
    if not path.stat().st_size:
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="c"))
