"""Metrics of models in the format of Prometheus."""

from prometheus_client import CollectorRegistry, generate_latest

from app.metrics.models import LoadedModelInfo, ModelMetrics


def expose(records: ModelMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(records)
    return generate_latest(registry).decode()


def test_prometheus_gets_each_model_by_its_name():
    records = ModelMetrics()
    records.record_of("digits").latency.observe(0.003)
    records.record_of("digits").hits += 2
    records.record_of("digits").record_batch(3, 0.02)
    records.list_loaded = lambda: [LoadedModelInfo("digits", 3, "onnxruntime", 1000, 7)]
    exposition = expose(records)
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


def test_models_beyond_the_limit_count_together_and_no_counter_falls_as_they_come_and_go():
    records, loaded = ModelMetrics(max_names=2), []
    records.list_loaded = lambda: [LoadedModelInfo(name, 1, "onnxruntime", 1, 0) for name in loaded]
    for number in range(5):
        loaded.append(f"model-{number}")
        records.record_of(f"model-{number}").hits += 1
    exposition = expose(records)
    assert 'plinth_model_cache_hits_total{model="model-1"} 1.0' in exposition
    assert "model-2" not in exposition
    assert 'plinth_model_cache_hits_total{model="(others)"} 3.0' in exposition
    assert exposition.count("plinth_model_bytes{") == 2

    loaded.remove("model-3")
    loaded.append("model-5")
    records.record_of("model-5").hits += 1
    assert 'plinth_model_cache_hits_total{model="(others)"} 4.0' in expose(records)


def test_a_model_that_is_no_longer_in_memory_gives_its_place_to_a_new_one():
    records = ModelMetrics(max_names=1)
    records.record_of("old").hits += 1
    records.list_loaded = lambda: [LoadedModelInfo("new", 1, "onnxruntime", 1, 0)]
    records.record_of("new").hits += 1
    exposition = expose(records)
    assert 'plinth_model_cache_hits_total{model="new"} 1.0' in exposition
    assert "old" not in exposition
