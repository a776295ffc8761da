"""Metrics of requests in the format of Prometheus."""

from prometheus_client import CollectorRegistry, generate_latest

from app.metrics.requests import RequestMetrics


def test_requests_are_counted_by_status_and_timed_by_route():
    requests = RequestMetrics()
    for status, seconds in ((200, 0.003), (200, 0.2), (404, 0.003)):
        requests.observe(method="GET", route="/a", status=status, seconds=seconds)
    requests.observe(method="GET", route="/b", status=200, seconds=40.0)
    registry = CollectorRegistry()
    registry.register(requests)
    exposition = generate_latest(registry).decode()
    assert 'plinth_http_requests_total{method="GET",route="/a",status="200"} 2.0' in exposition
    assert 'plinth_http_requests_total{method="GET",route="/a",status="404"} 1.0' in exposition
    assert 'plinth_http_request_duration_seconds_bucket{le="0.005",route="/a"} 2.0' in exposition
    assert 'plinth_http_request_duration_seconds_count{route="/a"} 3.0' in exposition
    assert 'plinth_http_request_duration_seconds_bucket{le="30.0",route="/b"} 0.0' in exposition
    assert 'plinth_http_request_duration_seconds_count{route="/b"} 1.0' in exposition
