"""A text is composed (NFC), every run of blanks becomes one, and with `lower_case` capitals become small letters. Each
letter is its place in `alphabet`, counted from 2; one that is not there is 1. int64 [batch, letters], cut to `length`
and filled up behind with 0; the mask is bool [batch, letters], true where there is text.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "text"
NEEDS = ""
UNKNOWN = 1
FIRST_LETTER = 2


def read(inputs: list[dict[str, Any]], about: dict[str, Any], _: Path) -> dict[str, np.ndarray]:
    """`signal` and `mask`."""
    number_of = {letter: number for number, letter in enumerate(about["alphabet"], start=FIRST_LETTER)}
    rows = []
    for given in inputs:
        text = " ".join(unicodedata.normalize("NFC", given["text"]).split())
        text = text.lower() if about["lower_case"] else text
        rows.append([number_of.get(letter, UNKNOWN) for letter in text[: about["length"]]])
    lengths = np.array(list(map(len, rows)))
    signal = np.zeros((len(rows), max(1, lengths.max())), dtype=np.int64)
    for row, numbers in enumerate(rows):
        signal[row, : len(numbers)] = numbers
    return {"signal": signal, "mask": np.arange(signal.shape[1]) < lengths[:, None]}
