"""Latencies are counted by bucket."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.latency import BOUNDS_SECONDS, Latency
from app.predict.by_model import InMemory, Records


def test_quantiles_lie_in_the_bucket_that_holds_them():
    latency = Latency()
    assert latency.quantile(0.5) is None
    for seconds in [0.0007] * 50 + [0.004] * 49 + [0.7]:
        latency.note(seconds)
    assert 0.0005 < latency.quantile(0.5) <= 0.001
    assert 0.0025 < latency.quantile(0.9) <= 0.005
    assert 0.5 < latency.quantile(0.999) <= 1
    assert latency.seconds == pytest.approx(50 * 0.0007 + 49 * 0.004 + 0.7)


def test_what_takes_longer_than_all_bounds_is_counted_and_told_as_the_last():
    latency = Latency()
    latency.note(1e6)
    assert latency.buckets()[-2:] == [("30.0", 0), ("+Inf", 1)]
    assert latency.quantile(0.5) == BOUNDS_SECONDS[-1]


def test_prometheus_gets_each_model_by_its_name():
    records = Records()
    records.of("digits").latency.note(0.003)
    records.of("digits").hits += 2
    records.in_memory = lambda: [InMemory("digits", 3, "onnxruntime", 1000, 7)]
    registry = CollectorRegistry()
    registry.register(records)
    told = generate_latest(registry).decode()
    assert 'plinth_answer_seconds_bucket{le="0.0025",model="digits"} 0.0' in told
    assert 'plinth_answer_seconds_bucket{le="0.005",model="digits"} 1.0' in told
    assert 'plinth_answer_seconds_count{model="digits"} 1.0' in told
    assert 'plinth_model_hits_total{model="digits"} 2.0' in told
    assert 'plinth_model_bytes{engine="onnxruntime",model="digits",version="3"} 1000.0' in told
    assert 'plinth_model_waiting{model="digits",version="3"} 7.0' in told
