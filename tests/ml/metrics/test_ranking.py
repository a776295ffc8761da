"""Ranking metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from ml.metrics.ranking import NOT_RANKED, hit_rate, mean_reciprocal_rank, ndcg

RANKS = np.array([0, 1, 9, 10, NOT_RANKED])


def test_the_hit_rate_counts_targets_among_the_first():
    assert hit_rate(RANKS, 10) == pytest.approx(3 / 5)
    assert hit_rate(RANKS, 1) == pytest.approx(1 / 5)


def test_reciprocal_ranks_count_from_one_and_missing_targets_count_zero():
    assert mean_reciprocal_rank(RANKS) == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 5)


def test_gains_are_discounted_by_the_logarithm_of_the_rank():
    assert ndcg(RANKS, 10) == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)
