"""Cells of columns that nothing is learned from.

Evaluations slice by them, such as by the source of a text. N staged rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A column of more different values numbers its rows rather than dividing them, and is left out.
MAX_VALUES: Final = 10_000
#: Characters of a value.
MAX_CHARACTERS: Final = 200
#: Code of a row without a value.
ABSENT: Final = -1


class UnreadCells:
    """Columns of staged rows as codes of their different values."""

    def __init__(self) -> None:
        #: Column -> value -> code, in order of appearance.
        self._values: dict[str, dict[str, int]] = {}
        #: Column -> (position of its first row, codes) of each batch.
        self._codes: dict[str, list[tuple[int, np.ndarray]]] = {}
        self._dropped: set[str] = set()

    def add(self, cells: Mapping[str, Sequence[Any]], rows: np.ndarray, *, start: int) -> None:
        """Add cells of a batch.

        `rows` are those that are staged, int64 [n], the first of them as row `start`.
        """
        for name, column in cells.items():
            if name in self._dropped:
                continue
            values = self._values.setdefault(name, {})
            codes = np.array([_encode(column[row], values) for row in rows.tolist()], dtype=np.int32)
            if len(values) > MAX_VALUES:
                self._dropped.add(name)
                del self._values[name]
                self._codes.pop(name, None)
                continue
            self._codes.setdefault(name, []).append((start, codes))

    def columns(self, count: int) -> dict[str, tuple[np.ndarray, list[str]]]:
        """Return the codes of each column, int32 [N], and its values by code."""
        columns = {}
        for name, batches in self._codes.items():
            codes = np.full(count, ABSENT, dtype=np.int32)
            for start, part in batches:
                codes[start : start + len(part)] = part
            columns[name] = codes, list(self._values[name])
        return columns


def _encode(cell: Any, values: dict[str, int]) -> int:
    text = "" if cell is None else str(cell).strip()[:MAX_CHARACTERS]
    return values.setdefault(text, len(values)) if text else ABSENT
