import pytest

from ml.evaluation import share_interval


@pytest.mark.parametrize(
    ("share", "rows", "interval"),
    [
        # Agresti & Coull 1998, and scipy.stats.binomtest(...).proportion_ci(method="wilson").
        (0.5, 100, (0.403832, 0.596168)),
        (0.9956, 10_000, (0.994098, 0.996721)),
        (0.0, 20, (0.0, 0.161125)),
        (1.0, 20, (0.838875, 1.0)),
    ],
)
def test_the_interval_is_wilsons(share, rows, interval):
    assert share_interval(share, rows) == pytest.approx(interval, abs=1e-6)


def test_the_reference_is_scipys():
    from scipy.stats import binomtest

    for right, rows in ((0, 5), (3, 7), (99, 100), (9956, 10_000)):
        low, high = binomtest(right, rows).proportion_ci(method="wilson")
        assert share_interval(right / rows, rows) == pytest.approx((low, high), abs=1e-12)
