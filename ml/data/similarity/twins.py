"""Search for rows that resemble an earlier row, among rows that share a band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rows of one band that each row is compared with: the first ones, and those just before it.
MAX_COMPARED: Final = 4
#: Pairs that are compared together.
_PAIRS_PER_BLOCK: Final = 1 << 15
NO_TWIN: Final = -1


@dataclass(frozen=True, slots=True)
class Twins:
    """An earlier similar row of N rows: across splits, and within their own."""

    #: Row in a split that a model learns from before, int64 [N]; -1 without one.
    across: np.ndarray
    #: Earlier row of the same split, int64 [N]; -1 without one.
    within: np.ndarray
    #: Similarity to either, float32 [N].
    similarity: np.ndarray

    def spread(self, rows: np.ndarray, count: int) -> Twins:
        """Return the twins of `count` rows; these are those at `rows`, int64 [N]."""
        spread = Twins.none(count)
        for source, target in ((self.across, spread.across), (self.within, spread.within)):
            places = np.flatnonzero(source != NO_TWIN)
            target[rows[places]] = rows[source[places]]
        spread.similarity[rows] = self.similarity
        return spread

    @classmethod
    def none(cls, count: int) -> Twins:
        """Return no twins for `count` rows."""
        across, within = (np.full(count, NO_TWIN, dtype=np.int64) for _ in range(2))
        return cls(across, within, np.zeros(count, dtype=np.float32))


def find_twins(
    bands: np.ndarray,
    splits: np.ndarray,
    compare: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    min_similarity: float,
) -> Twins:
    """Find rows that resemble an earlier row.

    A row with a twin across splits needs none within its own. Time and memory grow with N log N: rows of a large band
    are compared with some of them only.

    Args:
        bands: uint64 [N, B]; rows that share one are candidates.
        splits: int8 [N], in the order in which a model learns from them.
        compare: Returns the similarity of pairs of rows, float32 [n].
        min_similarity: Least similarity of twins.
    """
    count = len(splits)
    twins = Twins.none(count)
    rank = np.lexsort((np.arange(count), splits))
    for band in bands.T:
        order = rank[np.argsort(band[rank], kind="stable")]
        keys = band[order]
        positions = np.arange(count)
        is_start = np.concatenate([[True], keys[1:] != keys[:-1]]) if count else np.zeros(0, dtype=bool)
        starts = np.maximum.accumulate(np.where(is_start, positions, 0))
        for step in range(MAX_COMPARED):
            for others in (starts + step, positions - 1 - step):
                is_pair = (others < positions) & (others >= starts) & (twins.across[order] == NO_TWIN)
                selected = np.flatnonzero(is_pair)
                _compare(order[selected], order[others[selected]], splits, compare, min_similarity, twins)
    return twins


def _compare(
    rows: np.ndarray,
    others: np.ndarray,
    splits: np.ndarray,
    compare: Callable[[np.ndarray, np.ndarray], np.ndarray],
    min_similarity: float,
    twins: Twins,
) -> None:
    """Enter the pairs that are similar; each row occurs at most once in `rows`."""
    is_within = splits[rows] == splits[others]
    is_open = ~is_within | (twins.within[rows] == NO_TWIN)
    rows, others, is_within = rows[is_open], others[is_open], is_within[is_open]
    for start in range(0, len(rows), _PAIRS_PER_BLOCK):
        block = slice(start, start + _PAIRS_PER_BLOCK)
        similarity = compare(rows[block], others[block])
        is_twin = similarity >= min_similarity
        for target, mask in ((twins.within, is_within[block]), (twins.across, ~is_within[block])):
            matches = np.flatnonzero(is_twin & mask)
            target[rows[block][matches]] = others[block][matches]
            twins.similarity[rows[block][matches]] = similarity[matches]
