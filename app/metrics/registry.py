"""What `/metrics` shows of this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from app.metrics.models import ModelMetrics
from app.metrics.requests import RequestMetrics


class MetricsRegistry:
    """One registry per application, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = RequestMetrics()
        self._registry.register(self.requests)
        self._worker: str | None = None
        self.by_model = ModelMetrics()
        self._registry.register(self.by_model)
        self._uploaded = Counter("plinth_uploaded_bytes", "Bytes of uploads received.", registry=self._registry)
        self._loaded = Gauge("plinth_loaded_models", "Packages in memory.", registry=self._registry)
        self._loaded_bytes = Gauge(
            "plinth_loaded_models_bytes", "Bytes of packages in memory.", registry=self._registry
        )
        self._jobs = Gauge("plinth_jobs", "Jobs by state.", ["state"], registry=self._registry)

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

    def name_process(self, worker: int) -> None:
        """Of several workers behind one address this is that one: its number stands on everything it tells."""
        said = "The process that answered; with several workers another may answer next."
        info = Gauge("plinth_worker", said, ["pid"], registry=self._registry)
        info.labels(str(os.getpid())).set(1)
        self._worker = str(worker)

    def exposition(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(_Labelled(self._registry, self._worker) if self._worker else self._registry)


class _Labelled(CollectorRegistry):
    """A registry whose samples all say which worker counted them, so that those of several are not mixed."""

    def __init__(self, registry: CollectorRegistry, worker: str) -> None:
        super().__init__()
        self._of = registry
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """With the label `worker`."""
        for metric in self._of.collect():
            metric.samples = [each._replace(labels={**each.labels, "worker": self._worker}) for each in metric.samples]
            yield metric
