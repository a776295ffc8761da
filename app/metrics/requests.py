"""What `/metrics` shows of each route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.metrics.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric


class RequestMetrics(Collector):
    """How many were answered, and how long that took: one histogram for each method, route and status."""

    def __init__(self) -> None:
        self._latency: dict[tuple[str, str, int], Histogram] = {}

    def note(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """One was answered."""
        key = (method, route, status)
        latency = self._latency.get(key)
        if latency is None:
            latency = self._latency[key] = Histogram()
        latency.note(seconds)

    def collect(self) -> Iterable[Metric]:
        """What Prometheus is told."""
        requests = CounterMetricFamily(
            "plinth_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        by_route: dict[str, Histogram] = {}
        for (method, route, status), latency in list(self._latency.items()):
            requests.add_metric([method, route, str(status)], latency.count)
            by_route.setdefault(route, Histogram()).add(latency)
        yield requests
        seconds = HistogramMetricFamily("plinth_http_request_seconds", "Time to answer.", labels=["route"])
        for route, latency in by_route.items():
            seconds.add_metric([route], latency.buckets(), latency.total)
        yield seconds
