"""Checks for near duplicates of texts, by MinHash."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.cross_checks._near_duplicates import NearDuplicateCheck
from ml.data.cross_checks._picked_rows import pick
from ml.data.similarity import minhash
from ml.data.similarity.twins import find_twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.cross_checks.base import StagedRows
    from ml.data.similarity.twins import Twins

#: Texts whose signatures are made together.
_TEXTS_PER_BATCH: Final = 4096


class NearDuplicateTexts(NearDuplicateCheck):
    """Compares the texts of the key column, at 640 bytes of memory a row."""

    name = "near_duplicate_texts"
    key_type = "text"
    max_rows = 200_000
    #: Estimated Jaccard similarity of the character 5-grams; the standard error is 0.04.
    min_similarity = 0.75

    def find(self, staged: StagedRows, rows: np.ndarray, splits: np.ndarray) -> Twins:
        """Return the twins by their signatures."""
        signatures = np.zeros((len(rows), minhash.ENTRIES), dtype=np.uint32)
        is_usable = np.zeros(len(rows), dtype=bool)
        start = 0
        for texts in _batches(staged, rows):
            stop = start + len(texts)
            signatures[start:stop], is_usable[start:stop] = minhash.make_signatures(texts)
            start = stop
        usable = np.flatnonzero(is_usable)
        signatures = signatures[usable]
        twins = find_twins(
            minhash.make_bands(signatures),
            splits[usable],
            lambda left, right: minhash.estimate_similarity(signatures, left, right),
            min_similarity=self.min_similarity,
        )
        return twins.spread(usable, len(rows))


def _batches(staged: StagedRows, rows: np.ndarray) -> Iterator[list[str]]:
    """Yield the texts of `rows`, ascending."""
    values = pick(staged, rows)
    while batch := [value.decode() for value in itertools.islice(values, _TEXTS_PER_BATCH)]:
        yield batch
