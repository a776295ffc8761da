"""The metrics registry of this process, served at `/metrics`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from app.metrics.models import ModelMetrics
from app.metrics.requests import RequestMetrics


class MetricsRegistry:
    """All metrics of one application.

    Two applications in one process have separate registries.
    """

    def __init__(self, *, max_names: int = 40) -> None:
        """`max_names` models have metrics of their own; the others count together."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = RequestMetrics()
        self._registry.register(self.requests)
        self.by_model = ModelMetrics(max_names=max_names)
        self._registry.register(self.by_model)
        self._uploaded = Counter("plinth_uploaded_bytes", "Bytes of uploads received.", registry=self._registry)
        self._loaded = Gauge("plinth_loaded_models", "Models in memory.", registry=self._registry)
        self._loaded_bytes = Gauge(
            "plinth_loaded_models_bytes", "Size of the files of all models in memory.", registry=self._registry
        )
        self._jobs = Gauge("plinth_jobs", "Jobs by state.", ["state"], registry=self._registry)
        self._workers = Gauge("plinth_workers", "Workers that are alive.", registry=self._registry)
        self._free_bytes = Gauge("plinth_free_bytes", "Free space on the disk of PLINTH_HOME.", registry=self._registry)
        #: Value of the label `api_process`; None in the only process.
        self._api_process: str | None = None

    def count_uploaded_bytes(self, count: int) -> None:
        """Count bytes received."""
        self._uploaded.inc(count)

    def set_loaded_models(self, *, models: int, total_bytes: int) -> None:
        """Set the number and total size of the models in memory."""
        self._loaded.set(models)
        self._loaded_bytes.set(total_bytes)

    def set_jobs(self, counts: Mapping[str, int]) -> None:
        """Set the number of jobs by state."""
        self._jobs.clear()
        for state, count in counts.items():
            self._jobs.labels(state).set(count)

    def set_installation(self, *, workers: int, free_bytes: int) -> None:
        """Set what all API processes of a machine have in common."""
        self._workers.set(workers)
        self._free_bytes.set(free_bytes)

    def set_api_process(self, number: int) -> None:
        """Label all samples with the number of this API process."""
        description = "The API process that answered; the next request may reach another."
        info = Gauge("plinth_api_process_info", description, ["pid"], registry=self._registry)
        info.labels(str(os.getpid())).set(1)
        self._api_process = str(number)

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(
            _LabeledRegistry(self._registry, self._api_process) if self._api_process else self._registry
        )


class _LabeledRegistry(CollectorRegistry):
    """A registry whose samples carry the label `api_process`.

    Prometheus needs it to separate the samples of processes that share a socket.
    """

    def __init__(self, registry: CollectorRegistry, api_process: str) -> None:
        super().__init__()
        self._source = registry
        self._api_process = api_process

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families with the label added."""
        for metric in self._source.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "api_process": self._api_process}) for sample in metric.samples
            ]
            yield metric
