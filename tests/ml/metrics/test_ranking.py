"""Ranking metrics against values worked out by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from ml.metrics.ranking import NOT_RANKED, hit_rate, mean_reciprocal_rank, ndcg, reciprocal_rank_at

RANKS = np.array([0, 1, 9, 10, NOT_RANKED])


def test_the_hit_rate_counts_targets_among_the_first():
    assert hit_rate(RANKS, 10) == pytest.approx(3 / 5)
    assert hit_rate(RANKS, 1) == pytest.approx(1 / 5)


def test_reciprocal_ranks_count_from_one_and_missing_targets_count_zero():
    assert mean_reciprocal_rank(RANKS) == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 5)


def test_gains_are_discounted_by_the_logarithm_of_the_rank():
    assert ndcg(RANKS, 10) == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)


def test_a_reciprocal_rank_at_a_depth_counts_later_ranks_zero():
    assert reciprocal_rank_at(RANKS, 10) == pytest.approx((1 + 1 / 2 + 1 / 10) / 5)
    assert reciprocal_rank_at(RANKS, 11) == mean_reciprocal_rank(RANKS)


def test_metrics_of_one_target_are_those_of_scikit_learn():
    scores = np.random.default_rng(0).normal(size=(50, 40))
    targets = np.random.default_rng(1).integers(0, 40, 50)
    is_target = np.eye(40)[targets]
    ranks = (scores > scores[np.arange(50), targets][:, None]).sum(axis=1)

    assert ndcg(ranks, 10) == pytest.approx(ndcg_score(is_target, scores, k=10))
    assert mean_reciprocal_rank(ranks) == pytest.approx(label_ranking_average_precision_score(is_target, scores))
