"""Values are counted by bucket."""

import pytest

from app.metrics.histogram import SECONDS, Histogram


def test_quantiles_lie_in_the_bucket_that_holds_them():
    latency = Histogram()
    assert latency.quantile(0.5) is None
    for seconds in [0.0007] * 50 + [0.004] * 49 + [0.7]:
        latency.observe(seconds)
    assert 0.0005 < latency.quantile(0.5) <= 0.001
    assert 0.0025 < latency.quantile(0.9) <= 0.005
    assert 0.5 < latency.quantile(0.999) <= 1
    assert latency.total == pytest.approx(50 * 0.0007 + 49 * 0.004 + 0.7)


def test_a_time_above_all_bounds_is_counted_and_reported_as_the_last():
    latency = Histogram()
    latency.observe(1e6)
    assert latency.buckets()[-2:] == [("30.0", 0), ("+Inf", 1)]
    assert latency.quantile(0.5) == SECONDS[-1]
