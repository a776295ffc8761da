"""items.json lists the known items; the first has code 2. A history is the codes of its known items, oldest first,
after a 1 that begins each; only the latest `length` - 1 are read. int64 [batch, time], filled up behind with 0; the
mask is bool [batch, time], true where it is not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "history"
NEEDS = ""
FIRST_ITEM = 2


def read(inputs: list[dict[str, Any]], about: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """`signal` and `mask`."""
    codes = {item: code for code, item in enumerate(items(folder), start=FIRST_ITEM)}
    rows = [[codes[str(item)] for item in given["history"] if str(item) in codes] for given in inputs]
    rows = [[1, *row[max(0, len(row) - about["length"] + 1) :]] for row in rows]
    signal = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, each in enumerate(rows):
        signal[row, : len(each)] = each
    return {"signal": signal, "mask": signal != 0}


def items(folder: Path) -> list[str]:
    """In the order of their codes."""
    found: list[str] = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    return found
