"""Metrics of requests by route, as `/metrics` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric


class RequestMetrics(Collector):
    """Number and duration of requests: one histogram for each method, route and status."""

    def __init__(self) -> None:
        self._latencies: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        key = (method, route, status)
        latency = self._latencies.get(key)
        if latency is None:
            latency = self._latencies[key] = Histogram()
        latency.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families."""
        requests = CounterMetricFamily(
            "plinth_http_requests", "HTTP requests answered.", labels=["method", "route", "status"]
        )
        by_route: dict[str, Histogram] = {}
        for (method, route, status), latency in list(self._latencies.items()):
            requests.add_metric([method, route, str(status)], latency.count)
            by_route.setdefault(route, Histogram()).merge(latency)
        yield requests
        durations = HistogramMetricFamily(
            "plinth_http_request_duration_seconds", "Time from an HTTP request to its response.", labels=["route"]
        )
        for route, latency in by_route.items():
            durations.add_metric([route], latency.buckets(), latency.total)
        yield durations
