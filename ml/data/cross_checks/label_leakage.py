"""Checks for texts that give the label away."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.cross_checks._picked_rows import pick, space_evenly
from ml.data.cross_checks.base import CrossCheck
from ml.data.languages import split_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.cross_checks.base import StagedRows

MIN_ROWS: Final = 40
#: Rows of each value, on average, from which on values stand for the label, rather than describe a row.
MIN_ROWS_PER_VALUE: Final = 5
#: Fraction of the rows of a class that must have its word; no other row may have it.
MIN_WORD_FRACTION: Final = 0.98
#: Texts whose words are counted.
MAX_ROWS: Final = 20_000
MAX_CLASSES: Final = 100


class LabelLeakage(CrossCheck):
    """Checks whether the texts of a classifier determine the label one to one."""

    name = "label_leakage"
    columns: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def applies_to(cls, type_names: Mapping[str, str]) -> bool:
        """Return whether the data is one text a row."""
        return list(type_names.values()) == ["text"]

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report the column of the texts if it gives the label away."""
        codes = staged.class_codes
        rows = np.flatnonzero(codes >= 0)
        if staged.classes is None or len(rows) < MIN_ROWS or not 2 <= len(staged.classes) <= MAX_CLASSES:
            return
        column = str(column_names.get(staged.key_column, staged.key_column))
        values = count_values(staged.hashes[rows], codes[rows])
        if values is not None:
            actual = f"{column}: {values:,} different values in {len(rows):,} rows, each with one label"
            self.issues.add("label_leaked_by_column", actual=actual, expected="texts that describe a row")
            return
        words = find_class_words(staged, space_evenly(rows, MAX_ROWS))
        if words is not None:
            examples = ", ".join(f"{word!r} in {staged.classes[code]}" for code, word in list(words.items())[:3])
            actual = f"{column}: a word for each class, as {examples}"
            self.issues.add("label_leaked_by_column", actual=actual, expected="texts without the label")


def count_values(hashes: np.ndarray, codes: np.ndarray) -> int | None:
    """Return the number of different values, or None if they tell nothing.

    They must be few and have one label each. `hashes`: uint8 [n, 16]; `codes`: int32 [n].
    """
    keys = np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[:, 0]
    values = len(np.unique(keys))
    pairs = np.unique(np.stack([keys, codes.astype(np.uint64)]), axis=1)
    is_determined = pairs.shape[1] == values
    is_few = values * MIN_ROWS_PER_VALUE <= len(keys) and values >= len(np.unique(codes))
    return values if is_determined and is_few else None


def find_class_words(staged: StagedRows, rows: np.ndarray) -> dict[int, str] | None:
    """Return a word for each class that its rows alone have, or None."""
    codes = staged.class_codes[rows]
    in_class: dict[int, Counter[str]] = {int(code): Counter() for code in np.unique(codes)}
    for code, value in zip(codes.tolist(), pick(staged, rows), strict=True):
        in_class[code].update(set(split_words(value.decode())))
    totals: Counter[str] = sum(in_class.values(), Counter())
    sizes = Counter(codes.tolist())
    words: dict[int, str] = {}
    for code, counts in in_class.items():
        candidates = (
            word for word, count in counts.items() if count >= MIN_WORD_FRACTION * sizes[code] and count == totals[word]
        )
        word = next(candidates, None)
        if word is None:
            return None
        words[code] = word
    return words
