"""Metrics of ranked candidates: hit rate, mean reciprocal rank, NDCG.

N rows. A rank counts from 0; a row whose target is not among the candidates has the rank `NOT_RANKED`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

NOT_RANKED: Final = np.iinfo(np.int64).max


def hit_rate(ranks: np.ndarray, depth: int) -> float:
    """Return the fraction of rows whose target is among the first `depth` candidates."""
    return float((ranks < depth).mean())


def mean_reciprocal_rank(ranks: np.ndarray) -> float:
    """Return the mean over rows of 1/(rank + 1) (Voorhees 1999).

    Rows without a rank count 0.
    """
    is_ranked = ranks != NOT_RANKED
    return float((1 / (1.0 + ranks[is_ranked])).sum() / len(ranks))


def reciprocal_rank_at(ranks: np.ndarray, depth: int) -> float:
    """Return the mean reciprocal rank within the first `depth` candidates.

    A later rank counts 0, as in RecBole's MRR@depth.
    """
    return mean_reciprocal_rank(np.where(ranks < depth, ranks, NOT_RANKED))


def ndcg(ranks: np.ndarray, depth: int) -> float:
    """Return NDCG at `depth`, with one target a row (Järvelin & Kekäläinen 2002).

    It is the mean of 1/log2(rank + 2) for ranks below `depth`; the ideal gain is 1, as each row has one target.
    """
    inside = ranks[ranks < depth]
    return float((1 / np.log2(2.0 + inside)).sum() / len(ranks))
