"""Metrics by model name, as `/metrics` and `/predict` show them.

All versions of a name count together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.metrics.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: Upper bounds of the buckets of a batch size.
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)

#: Name, help text, and field of `ModelRecord`.
HISTOGRAMS: Final = (
    ("plinth_request_duration_seconds", "Time from the arrival of a prediction request to its response.", "latency"),
    ("plinth_batch_duration_seconds", "Time that one batch took to run.", "batch_seconds"),
    ("plinth_batch_inputs", "Inputs in one batch.", "batch_rows"),
)
#: Name without `_total`, help text, and field of `ModelRecord`.
COUNTERS: Final = (
    ("plinth_model_cache_hits", "Requests for a model that was in memory.", "hits"),
    ("plinth_model_loads", "Times a model was loaded into memory.", "loads"),
    ("plinth_fast_path_requests", "Requests answered by the fast path.", "fast_path"),
    ("plinth_model_evictions", "Times a model was evicted from memory.", "evictions"),
)


@dataclass(slots=True)
class ModelRecord:
    """Counters of one model name since the process started.

    It outlives the model in memory. The fields are plain numbers, as they change with every request.
    """

    #: Time from the arrival of a request to its response.
    latency: Histogram = field(default_factory=Histogram)
    #: Duration of each batch.
    batch_seconds: Histogram = field(default_factory=Histogram)
    #: Inputs of this model in each batch.
    batch_rows: Histogram = field(default_factory=lambda: Histogram(BATCH_SIZES))
    #: Requests for which the model was in memory.
    hits: int = 0
    loads: int = 0
    #: Requests answered by `app.predict.fast_path`.
    fast_path: int = 0
    #: Times it was evicted to free memory.
    evictions: int = 0

    def record_batch(self, rows: int, seconds: float) -> None:
        """Count one batch."""
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)


@dataclass(frozen=True, slots=True)
class LoadedModelInfo:
    """State of one version in memory."""

    model: str
    version: int
    engine: str
    bytes: int
    waiting: int


class ModelMetrics(Collector):
    """Records by model name, as a collector of Prometheus metrics."""

    def __init__(self) -> None:
        self._records: dict[str, ModelRecord] = {}
        #: Called for every scrape: the versions in memory.
        self.list_loaded: Callable[[], Iterable[LoadedModelInfo]] = tuple

    def record_of(self, model: str) -> ModelRecord:
        """Return the record of a model name, a new one for a new name."""
        return self._records.setdefault(model, ModelRecord())

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families."""
        records = dict(self._records)
        for metric, description, field_name in HISTOGRAMS:
            family = HistogramMetricFamily(metric, description, labels=["model"])
            for name, record in records.items():
                histogram: Histogram = getattr(record, field_name)
                family.add_metric([name], histogram.buckets(), histogram.total)
            yield family
        predictions = CounterMetricFamily("plinth_predictions", "Inputs answered.", labels=["model"])
        for name, record in records.items():
            predictions.add_metric([name], record.batch_rows.total)
        yield predictions
        for metric, description, field_name in COUNTERS:
            counter = CounterMetricFamily(metric, description, labels=["model"])
            for name, record in records.items():
                counter.add_metric([name], getattr(record, field_name))
            yield counter
        yield from self._collect_loaded()

    def _collect_loaded(self) -> Iterable[Metric]:
        size = GaugeMetricFamily(
            "plinth_model_bytes", "Size of the model's files in memory.", labels=["model", "version", "engine"]
        )
        depth = GaugeMetricFamily(
            "plinth_model_queue_depth", "Inputs waiting in the model's queue.", labels=["model", "version"]
        )
        for info in self.list_loaded():
            size.add_metric([info.model, str(info.version), info.engine], info.bytes)
            depth.add_metric([info.model, str(info.version)], info.waiting)
        yield size
        yield depth
