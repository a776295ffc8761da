"""The largest nested size that answers in time is chosen."""

import pytest

from app.serving.sizes import expected_seconds


@pytest.mark.parametrize(
    ("latency_ms", "rows", "seconds"),
    [
        ({"1": 1.0, "64": 64.0}, 1, 0.001),
        ({"1": 1.0, "64": 64.0}, 10, 0.010),
        ({"1": 1.0, "64": 64.0}, 128, 0.128),
        ({"1": 2.0, "64": 1.0}, 64, 0.002),
        ({}, 5, 0.0),
    ],
)
def test_the_time_grows_with_the_rows(latency_ms: dict[str, float], rows: int, seconds: float) -> None:
    assert expected_seconds(latency_ms, rows) == pytest.approx(seconds)
