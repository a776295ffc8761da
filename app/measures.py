"""What `/metrics` shows of this process."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """One registry per application, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "plinth_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "plinth_http_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._predictions = Counter("plinth_predictions", "Inputs answered.", ["model"], registry=self._registry)
        self._prediction_seconds = Histogram(
            "plinth_prediction_seconds", "Time in the model.", ["model"], buckets=_SECONDS, registry=self._registry
        )
        self._uploaded = Counter("plinth_uploaded_bytes", "Bytes of uploads received.", registry=self._registry)
        self._loaded = Gauge("plinth_loaded_models", "Packages in memory.", registry=self._registry)
        self._loaded_bytes = Gauge(
            "plinth_loaded_models_bytes", "Bytes of packages in memory.", registry=self._registry
        )
        self._jobs = Gauge("plinth_jobs", "Jobs by state.", ["state"], registry=self._registry)

    def request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def prediction(self, *, model: str, inputs: int, seconds: float) -> None:
        """Count one call of a model."""
        self._predictions.labels(model).inc(inputs)
        self._prediction_seconds.labels(model).observe(seconds)

    def uploaded(self, count: int) -> None:
        """Count bytes received."""
        self._uploaded.inc(count)

    def loaded(self, *, models: int, total_bytes: int) -> None:
        """Say what is in memory now."""
        self._loaded.set(models)
        self._loaded_bytes.set(total_bytes)

    def jobs(self, counts: Mapping[str, int]) -> None:
        """Say how many jobs are in each state now."""
        self._jobs.clear()
        for state, count in counts.items():
            self._jobs.labels(state).set(count)

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
