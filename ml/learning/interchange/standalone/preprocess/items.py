"""Histories as item codes.

`items.json` lists the known items; the first has code 2. A history is the codes of its known items, oldest first,
after a 1 that begins every history; only the latest `length` - 1 items are read. The array is int64 [batch, time],
padded at the end with 0. The mask is bool [batch, time], false where padded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

#: Field of an input that a file fills.
FIELD: Final = "history"
START: Final = 1
FIRST_ITEM: Final = 2


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """Return `signal`, int64 [batch, time], and `mask`, bool [batch, time]."""
    codes = {item: code for code, item in enumerate(load_items(folder), start=FIRST_ITEM)}
    rows = [[codes[str(item)] for item in raw_input["history"] if str(item) in codes] for raw_input in inputs]
    rows = [[START, *row[max(0, len(row) - config["length"] + 1) :]] for row in rows]
    signal = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, row_codes in enumerate(rows):
        signal[row, : len(row_codes)] = row_codes
    return {"signal": signal, "mask": signal != 0}


def load_items(folder: Path) -> list[str]:
    """Return the known items in the order of their codes."""
    items: list[str] = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    return items
