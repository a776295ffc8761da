"""Selection of rows for checks that cannot look at all of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.cross_checks.base import StagedRows


def space_evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of the rows, evenly spaced; all of them if they are fewer."""
    if len(rows) <= count:
        return rows
    spaced: np.ndarray = rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
    return spaced


def pick(staged: StagedRows, rows: np.ndarray) -> Iterator[Any]:
    """Yield the stored values of the key column at `rows`, ascending."""
    is_picked = np.zeros(int(rows[-1]) + 1, dtype=bool)
    is_picked[rows] = True
    return itertools.compress(staged.values_of(staged.key_column), is_picked.tolist())
