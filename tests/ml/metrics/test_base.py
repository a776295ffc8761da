import pytest

from ml.metrics.base import Evaluation, Metric, find_weaknesses, wilson_interval

METRICS = {"accuracy": Metric("", True), "recall": Metric("", True), "loss": Metric("", False)}


@pytest.mark.parametrize(
    ("evaluation", "is_weak"),
    [
        (Evaluation({"accuracy": 0.9, "loss": 0.2}, {"accuracy": 0.5}, {"accuracy": (0.8, 0.95)}), False),
        (Evaluation({"accuracy": 0.5, "loss": 0.6}, {"accuracy": 0.5, "loss": 0.7}, {"accuracy": (0.3, 0.7)}), True),
        (Evaluation({"accuracy": 0.6}, {"accuracy": 0.5}, {"accuracy": (0.3, 0.8)}), True),
        # One metric that is better with confidence is enough.
        (
            Evaluation(
                {"accuracy": 0.1, "recall": 0.8},
                {"accuracy": 0.1, "recall": 0.2},
                {"accuracy": (0.0, 0.3), "recall": (0.7, 0.9)},
            ),
            False,
        ),
        (Evaluation({"loss": 2.0}, {"loss": 3.0}), False),
        (Evaluation({"loss": 3.0}, {"loss": 3.0}), True),
        (Evaluation({"accuracy": 0.0}), False),
    ],
)
def test_a_model_that_does_not_beat_the_baseline_gets_a_warning(evaluation, is_weak):
    warnings = find_weaknesses(evaluation, METRICS, rows_name="20 rows of test")
    assert bool(warnings) == is_weak
    assert all("20 rows of test" in warning and "baseline" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("fraction", "rows", "interval"),
    [
        # Agresti & Coull 1998, and scipy.stats.binomtest(...).proportion_ci(method="wilson").
        (0.5, 100, (0.403832, 0.596168)),
        (0.9956, 10_000, (0.994098, 0.996721)),
        (0.0, 20, (0.0, 0.161125)),
        (1.0, 20, (0.838875, 1.0)),
    ],
)
def test_the_interval_is_wilsons(fraction, rows, interval):
    assert wilson_interval(fraction, rows) == pytest.approx(interval, abs=1e-6)


def test_the_reference_is_scipys():
    from scipy.stats import binomtest

    for right, rows in ((0, 5), (3, 7), (99, 100), (9956, 10_000)):
        low, high = binomtest(right, rows).proportion_ci(method="wilson")
        assert wilson_interval(right / rows, rows) == pytest.approx((low, high), abs=1e-12)
