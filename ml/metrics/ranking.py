"""How far ahead the right one of many stands: what all tasks share that put candidates into an order.

N rows. A rank counts from 0; a row whose right one is not among the candidates has the rank `NOT_RANKED`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

NOT_RANKED: Final = np.iinfo(np.int64).max


def hit_rate(ranks: np.ndarray, depth: int) -> float:
    """Share of rows whose right one is among the first `depth`."""
    return float((ranks < depth).mean())


def mean_reciprocal_rank(ranks: np.ndarray) -> float:
    """Mean over rows of 1 for the first place, 1/2 for the second, 1/3, ... (Voorhees 1999)."""
    found = ranks != NOT_RANKED
    return float((1 / (1.0 + ranks[found])).sum() / len(ranks))


def discounted_gain(ranks: np.ndarray, depth: int) -> float:
    """NDCG of one right one a row: 1 for the first place, 1/log2(3) for the second, ..., 0 beyond `depth`.

    Järvelin & Kekäläinen 2002, with the best possible gain of 1 as there is one right one.
    """
    inside = ranks[ranks < depth]
    return float((1 / np.log2(2.0 + inside)).sum() / len(ranks))
