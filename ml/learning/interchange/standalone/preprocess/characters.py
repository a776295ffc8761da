"""Texts as character codes.

The text is composed (Unicode NFC), every run of whitespace becomes one space, and with `lower_case` the text is
converted to lower case. The code of a character is its position in `alphabet`, counted from 2; 1 is a character that is
not in it. The array is int64 [batch, characters], cut to `length` and padded at the end with 0. The mask is bool
[batch, characters], true where there is text.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

#: Field of an input that a file fills.
FIELD: Final = "text"
UNKNOWN: Final = 1
FIRST_CHARACTER: Final = 2


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """Return `signal`, int64 [batch, characters], and `mask`, bool [batch, characters]."""
    codes = {character: code for code, character in enumerate(config["alphabet"], start=FIRST_CHARACTER)}
    rows = []
    for raw_input in inputs:
        text = " ".join(unicodedata.normalize("NFC", raw_input["text"]).split())
        text = text.lower() if config["lower_case"] else text
        rows.append([codes.get(character, UNKNOWN) for character in text[: config["length"]]])
    lengths = np.array(list(map(len, rows)))
    signal = np.zeros((len(rows), max(1, lengths.max())), dtype=np.int64)
    for row, row_codes in enumerate(rows):
        signal[row, : len(row_codes)] = row_codes
    return {"signal": signal, "mask": np.arange(signal.shape[1]) < lengths[:, None]}
