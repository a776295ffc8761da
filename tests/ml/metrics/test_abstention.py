"""Thresholds of confidence keep what they promise on rows that they were not chosen on."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ml.metrics.abstention import MAX_ERROR_PROBABILITY, choose_threshold, measure_thresholds


def draw(rows, seed):
    """Draw confidences that are far too high, and whether answers are right."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1, rows)
    return confidence**0.25, generator.random(rows) < confidence


def test_bounds_are_those_of_clopper_and_pearson_for_all_thresholds_together():
    confidence, is_right = draw(200, seed=1)
    measured = measure_thresholds(confidence, is_right)
    assert [round(row.coverage, 6) for row in measured] == [step / 10 for step in range(10, 0, -1)]
    for row in measured:
        answered = is_right[confidence >= row.threshold]
        assert row.precision == answered.mean()
        level = MAX_ERROR_PROBABILITY / len(measured)
        test = binomtest(int(answered.sum()), len(answered), alternative="greater")
        assert row.lower_bound == pytest.approx(test.proportion_ci(1 - level, method="exact").low, abs=1e-6)


def test_a_chosen_threshold_keeps_its_precision_where_confidence_itself_does_not():
    chosen = [choose_threshold(measure_thresholds(*draw(2000, seed)), 0.9) for seed in range(100)]
    confidence, is_right = draw(200_000, seed=1000)
    precisions = np.array([is_right[confidence >= threshold].mean() for threshold in chosen])
    assert (precisions < 0.9).mean() <= MAX_ERROR_PROBABILITY
    # The margin is that of some hundred rows, so that most of the rows that could be answered are.
    assert np.median(precisions) < 0.95
    assert is_right[confidence >= 0.9].mean() < 0.9


def test_few_rows_promise_little_and_none_nothing():
    assert choose_threshold(measure_thresholds(np.full(20, 0.99), np.ones(20, dtype=bool)), 0.95) is None
    assert choose_threshold(measure_thresholds(np.full(200, 0.99), np.ones(200, dtype=bool)), 0.95) == 0.99
    assert choose_threshold(measure_thresholds(np.full(200, 0.99), np.zeros(200, dtype=bool)), 0.01) is None
    assert measure_thresholds(np.zeros(0), np.zeros(0, dtype=bool)) == []
