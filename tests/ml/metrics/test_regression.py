"""Metrics of regressions equal those of scikit-learn, and intervals hold what they say."""

import numpy as np
import pytest
from sklearn import metrics as reference

from ml.metrics import regression

GENERATOR = np.random.default_rng(0)
TARGET = GENERATOR.normal(10, 3, size=400)
PREDICTED = TARGET + GENERATOR.normal(0.5, 1, size=400)


def test_metrics_are_those_of_scikit_learn():
    metrics = regression.evaluate(PREDICTED, TARGET, train=None).metrics

    assert metrics == pytest.approx(
        {
            "rmse": reference.root_mean_squared_error(TARGET, PREDICTED),
            "mae": reference.mean_absolute_error(TARGET, PREDICTED),
            "r2": reference.r2_score(TARGET, PREDICTED),
        }
    )
    assert metrics.keys() == regression.METRICS.keys()


def test_the_baseline_is_the_mean_or_for_absolute_errors_the_median():
    train = np.array([0.0, 0.0, 9.0])
    baseline = regression.evaluate(np.zeros(3), np.array([0.0, 3.0, 6.0]), train=train).baseline

    assert baseline["rmse"] == pytest.approx(np.sqrt(6))
    assert baseline["mae"] == 3.0
    assert baseline["r2"] == 0.0


def test_intervals_surround_their_metric():
    evaluation = regression.evaluate(PREDICTED, TARGET, train=TARGET)

    for name, (low, high) in evaluation.intervals.items():
        assert low < evaluation.metrics[name] < high
    low, high = evaluation.intervals["mae"]
    spread = np.abs(PREDICTED - TARGET).std() / 20
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)


def test_intervals_of_many_rows_are_scaled_to_their_number():
    rows = 4 * regression.MAX_RESAMPLED_ROWS
    target = np.resize(TARGET, rows)
    predicted = np.resize(PREDICTED, rows)

    low, high = regression.evaluate(predicted, target, train=None).intervals["mae"]
    spread = np.abs(predicted - target).std() / np.sqrt(rows)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)


def test_constant_targets_and_single_rows_have_metrics():
    assert regression.measure(np.ones(3), np.ones(3))["r2"] == 0.0
    evaluation = regression.evaluate(np.array([2.0]), np.array([1.0]), train=np.array([1.0]))
    assert evaluation.metrics["mae"] == 1.0
    assert evaluation.intervals == {}


def test_the_largest_errors_come_first():
    errors = regression.evaluate(np.array([1.0, 5.0, 2.0]), np.array([1.0, 1.0, 0.0]), train=None).extra["errors"]

    assert [error["index"] for error in errors] == [1, 2, 0]
    assert errors[0] == {"index": 1, "value": 1.0, "predicted": 5.0}
