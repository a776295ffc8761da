"""Drift is found within 500 rows, and clean streams raise few alarms."""

from __future__ import annotations

import numpy as np
import pytest

from ml.drift import DRIFT_TESTS
from ml.drift.base import DriftMonitor, Values


def rows(name: str, count: int, rng: np.random.Generator, *, drift: str = "") -> Values:
    """Values as a test reads them, clean or with a drift."""
    match name:
        case "confidence":
            return rng.beta(3 if drift else 8, 2, (count, 1))
        case "class_shares":
            probabilities = {"": [0.4, 0.4, 0.2, 0], "shares": [0.7, 0.2, 0.1, 0], "new class": [0.3, 0.3, 0.2, 0.2]}[
                drift
            ]
            return rng.choice(4, (count, 1), p=probabilities).astype(np.float64)
    moved = 1.0 if drift == "moved" else 0.0
    return rng.normal(moved, 2.0 if drift == "noise" else 1.0, (count, 8))


CASES = [
    ("confidence", "less sure"),
    ("class_shares", "shares"),
    ("class_shares", "new class"),
    ("features", "moved"),
    ("features", "noise"),
    ("embedding", "moved"),
    ("embedding", "noise"),
]


@pytest.mark.parametrize(("name", "drift"), CASES)
def test_an_injected_drift_is_found_within_500_rows(name: str, drift: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        monitor = DriftMonitor(DRIFT_TESTS[name](), rows(name, 600, rng), seed=seed)
        assert not monitor.update(rows(name, 100, rng))
        assert monitor.update(rows(name, 500, rng, drift=drift)), (seed, monitor.wealth)
        assert 100 < (monitor.alarm_row or 0) <= 600


@pytest.mark.parametrize("name", sorted(DRIFT_TESTS))
def test_clean_streams_raise_no_more_alarms_than_stated(name: str) -> None:
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        monitor = DriftMonitor(DRIFT_TESTS[name](), rows(name, 200, rng), seed=seed)
        alarms += monitor.update(rows(name, 200, rng))
    # With a probability of 0.005 each, more than 3 alarms in 100 streams happen once in 500 times.
    assert alarms <= 3


def test_a_reference_of_few_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"49 rows \(minimum 50\)"):
        DriftMonitor(DRIFT_TESTS["confidence"](), np.ones((49, 1)))


@pytest.mark.parametrize("name", sorted(DRIFT_TESTS))
def test_a_saved_monitor_continues_as_if_it_had_never_stopped(name: str) -> None:
    rng = np.random.default_rng(3)
    reference, stream = rows(name, 200, rng), rows(name, 120, rng)
    whole, first = (DriftMonitor(DRIFT_TESTS[name](), reference, seed=5) for _ in range(2))
    whole.update(stream)
    first.update(stream[:50])
    second = DriftMonitor(DRIFT_TESTS[name](), reference, seed=5)
    second.restore(*first.save())
    second.update(stream[50:])
    assert (second.wealth, second.rows) == (whole.wealth, whole.rows)


def test_an_embedding_that_leaves_its_subspace_is_found() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 64))
    reference = rng.normal(size=(300, 3)) @ basis + rng.normal(0, 0.01, (300, 64))
    stream = rng.normal(size=(500, 3)) @ basis + rng.normal(0, 0.1, (500, 64))
    monitor = DriftMonitor(DRIFT_TESTS["embedding"](), reference)
    assert monitor.update(stream)
