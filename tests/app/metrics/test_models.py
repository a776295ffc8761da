"""Metrics of models in the format of Prometheus."""

from prometheus_client import CollectorRegistry, generate_latest

from app.metrics.models import LoadedModelInfo, ModelMetrics


def test_prometheus_gets_each_model_by_its_name():
    records = ModelMetrics()
    records.record_of("digits").latency.observe(0.003)
    records.record_of("digits").hits += 2
    records.record_of("digits").record_batch(3, 0.02)
    records.list_loaded = lambda: [LoadedModelInfo("digits", 3, "onnxruntime", 1000, 7)]
    registry = CollectorRegistry()
    registry.register(records)
    exposition = generate_latest(registry).decode()
    assert 'plinth_request_duration_seconds_bucket{le="0.0025",model="digits"} 0.0' in exposition
    assert 'plinth_request_duration_seconds_bucket{le="0.005",model="digits"} 1.0' in exposition
    assert 'plinth_request_duration_seconds_count{model="digits"} 1.0' in exposition
    assert 'plinth_batch_inputs_bucket{le="2.0",model="digits"} 0.0' in exposition
    assert 'plinth_batch_inputs_bucket{le="4.0",model="digits"} 1.0' in exposition
    assert 'plinth_batch_duration_seconds_sum{model="digits"} 0.02' in exposition
    assert 'plinth_predictions_total{model="digits"} 3.0' in exposition
    assert 'plinth_model_cache_hits_total{model="digits"} 2.0' in exposition
    assert 'plinth_model_bytes{engine="onnxruntime",model="digits",version="3"} 1000.0' in exposition
    assert 'plinth_model_queue_depth{model="digits",version="3"} 7.0' in exposition
