"""Metrics by model name, as `/metrics` and `/predict` show them.

All versions of a name count together. A limited number of names has series of their own: a scrape must not grow with
every model that was ever asked. The others count together.
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
#: Label of the models without series of their own; it is not a valid name.
OTHERS: Final = "(others)"

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
    ("plinth_requests_recorded", "Answered inputs that a watch records.", "recorded"),
    ("plinth_request_records_dropped", "Answered inputs that found no room in the queue of records.", "record_drops"),
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
    #: Answered inputs that a watch has drawn, and those that found no room in the queue.
    recorded: int = 0
    record_drops: int = 0

    def record_batch(self, rows: int, seconds: float) -> None:
        """Count one batch."""
        self.batch_rows.observe(rows)
        self.batch_seconds.observe(seconds)

    def merge(self, record: ModelRecord) -> None:
        """Add the counters of another record."""
        for _, _, name in HISTOGRAMS:
            getattr(self, name).merge(getattr(record, name))
        for _, _, name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(record, name))


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

    def __init__(self, *, max_names: int = 40) -> None:
        """`max_names` models have series of their own."""
        self._max_names = max_names
        #: Records with series of their own, the name that was loaded last at the end.
        self._named: dict[str, ModelRecord] = {}
        #: Records of the other models in memory.
        self._unnamed: dict[str, ModelRecord] = {}
        #: What those models counted that are not in memory any more.
        self._past: ModelRecord | None = None
        #: Called for every scrape: the versions in memory.
        self.list_loaded: Callable[[], Iterable[LoadedModelInfo]] = tuple

    def record_of(self, model: str) -> ModelRecord:
        """Return the record of a loaded model's name, a new one at first."""
        record = self._named.get(model) or self._unnamed.get(model)
        if record is None:
            loaded = {info.model for info in self.list_loaded()} if len(self._named) >= self._max_names else set()
            self._retire(loaded)
            record = ModelRecord()
            has_place = len(self._named) < self._max_names
            (self._named if has_place else self._unnamed)[model] = record
        return record

    def _retire(self, loaded: set[str]) -> None:
        """Forget names that are not loaded, if there is no place for another.

        Series that end are no decrease; a counter of all others that lost one of them would be.
        """
        if len(self._named) < self._max_names:
            return
        unloaded = next((name for name in self._named if name not in loaded), None)
        if unloaded is not None:
            del self._named[unloaded]
        for name in [name for name in self._unnamed if name not in loaded]:
            self._past = self._past or ModelRecord()
            self._past.merge(self._unnamed.pop(name))

    def _records(self) -> dict[str, ModelRecord]:
        """Return the records by label."""
        records = dict(self._named)
        if self._unnamed or self._past:
            others = records[OTHERS] = ModelRecord()
            for record in (*self._unnamed.values(), *([self._past] if self._past else ())):
                others.merge(record)
        return records

    def collect(self) -> Iterable[Metric]:
        """Yield the metric families."""
        records = self._records()
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
            if info.model not in self._named:
                continue
            size.add_metric([info.model, str(info.version), info.engine], info.bytes)
            depth.add_metric([info.model, str(info.version)], info.waiting)
        yield size
        yield depth
