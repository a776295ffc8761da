"""Checks for near duplicates of texts, by MinHash."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.cross_checks._near_duplicates import NearDuplicateCheck
from ml.data.cross_checks._picked_rows import pick
from ml.data.similarity import minhash
from ml.data.similarity.twins import NO_TWIN, find_twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.cross_checks.base import StagedRows
    from ml.data.similarity.twins import Twins

#: Texts whose signatures are made together.
_TEXTS_PER_BATCH: Final = 4096
#: Longer texts that share most of their words are copies rather than made from a template.
MAX_TEMPLATE_WORDS: Final = 40
#: Fraction of the rows from which on texts that differ in few words are made from templates, rather than copied.
TEMPLATE_FRACTION: Final = 0.3


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
        spread = twins.spread(usable, len(rows))
        self._drop_templates(spread, staged, rows)
        return spread

    def _drop_templates(self, twins: Twins, staged: StagedRows, rows: np.ndarray) -> None:
        """Remove pairs of short texts that fill one template differently.

        They have different labels or answers, or are a large fraction of the rows, as texts made from templates are.
        """
        pairs = [
            (kind, row) for kind in (twins.across, twins.within) for row in np.flatnonzero(kind != NO_TWIN).tolist()
        ]
        partners = np.array([kind[row] for kind, row in pairs], dtype=np.int64)
        places = np.array([row for _, row in pairs], dtype=np.int64)
        needed = np.unique(np.concatenate([places, partners]))
        if not len(needed):
            return
        texts = dict(zip(needed.tolist(), (value.decode() for value in pick(staged, rows[needed])), strict=True))
        fills_template = [
            _fill_one_template(texts[row], texts[partner])
            for row, partner in zip(places.tolist(), partners.tolist(), strict=True)
        ]
        is_answered_alike = _are_answered_alike(staged, rows[places], rows[partners])
        fraction = len(set(places[np.array(fills_template, dtype=bool)].tolist())) / len(rows)
        is_made = fraction > TEMPLATE_FRACTION
        for (kind, row), is_template, is_alike in zip(pairs, fills_template, is_answered_alike.tolist(), strict=True):
            if is_template and (is_made or not is_alike):
                kind[row] = NO_TWIN
        if is_made:
            self.issues.add("texts_from_templates", actual=f"{fraction:.0%} of {len(rows):,} rows")


def _fill_one_template(text: str, partner: str) -> bool:
    """Return whether two short texts differ in some of their words."""
    words, partner_words = minhash.normalize(text).split(), minhash.normalize(partner).split()
    return max(len(words), len(partner_words)) <= MAX_TEMPLATE_WORDS and sorted(words) != sorted(partner_words)


def _are_answered_alike(staged: StagedRows, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether rows have the labels and answers of others, bool [n]."""
    is_alike = (
        staged.class_codes[rows] == staged.class_codes[others] if len(staged.class_codes) else np.ones(len(rows), bool)
    )
    for column in staged.column_types:
        if column != staged.key_column:
            hashes = staged.hashes_of(column)
            is_alike &= (hashes[rows] == hashes[others]).all(axis=1)
    return np.asarray(is_alike, dtype=bool)


def _batches(staged: StagedRows, rows: np.ndarray) -> Iterator[list[str]]:
    """Yield the texts of `rows`, ascending."""
    values = pick(staged, rows)
    while batch := [value.decode() for value in itertools.islice(values, _TEXTS_PER_BATCH)]:
        yield batch
