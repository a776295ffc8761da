"""What `/metrics` and `/predict` show of each model, whichever of its versions answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.metrics.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

ROWS: Final = (1, 2, 4, 8, 16, 32, 64)
"""Bounds for what is run together."""


@dataclass(slots=True)
class ModelRecord:
    """Of one name, since the process began; it outlives what is in memory. Plain numbers: they are added to often."""

    latency: Histogram = field(default_factory=Histogram)
    """From a request's arrival to its answer."""
    batch_seconds: Histogram = field(default_factory=Histogram)
    """What each run took."""
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    """Inputs of this model in each run."""
    hits: int = 0
    """Requests that found it in memory."""
    loads: int = 0
    """Times that it had to be loaded."""
    fast_path: int = 0
    """Requests answered under the framework (see `app.predict.fast_path`)."""
    evictions: int = 0
    """Times that it left for want of memory."""

    def batch(self, rows: int, seconds: float) -> None:
        """Count one run."""
        self.batch_rows.note(rows)
        self.batch_seconds.note(seconds)


@dataclass(frozen=True, slots=True)
class LoadedModelInfo:
    """A version that is loaded."""

    model: str
    version: int
    engine: str
    bytes: int
    waiting: int


class ModelMetrics(Collector):
    """One record a name, and the families of metrics that they make."""

    def __init__(self) -> None:
        self._records: dict[str, ModelRecord] = {}
        self.in_memory: Callable[[], Iterable[LoadedModelInfo]] = tuple
        """Asked anew each time."""

    def of(self, model: str) -> ModelRecord:
        """That of a name; a new one for a new name."""
        return self._records.setdefault(model, ModelRecord())

    def collect(self) -> Iterable[Metric]:
        """What Prometheus is told."""
        records = dict(self._records)
        for metric, said, field_name in (
            ("plinth_answer_seconds", "From a request's arrival to its answer.", "latency"),
            ("plinth_prediction_seconds", "Time of a batch.", "batch_seconds"),
            ("plinth_batch_inputs", "Inputs run together.", "batch_rows"),
        ):
            family = HistogramMetricFamily(metric, said, labels=["model"])
            for name, record in records.items():
                histogram: Histogram = getattr(record, field_name)
                family.add_metric([name], histogram.buckets(), histogram.total)
            yield family
        predictions = CounterMetricFamily("plinth_predictions", "Inputs answered.", labels=["model"])
        for name, record in records.items():
            predictions.add_metric([name], record.batch_rows.total)
        yield predictions
        for metric, said, field_name in (
            ("plinth_model_hits", "Requests that found the model in memory.", "hits"),
            ("plinth_model_loads", "Times that the model had to be loaded.", "loads"),
            ("plinth_short_way", "Requests answered under the framework.", "short_way"),
            ("plinth_evicted_models", "Packages that left.", "evictions"),
        ):
            counter = CounterMetricFamily(metric, said, labels=["model"])
            for name, record in records.items():
                counter.add_metric([name], getattr(record, field_name))
            yield counter
        size = GaugeMetricFamily("plinth_model_bytes", "Of its files in memory.", labels=["model", "version", "engine"])
        waiting = GaugeMetricFamily("plinth_model_waiting", "Inputs in its queue.", labels=["model", "version"])
        for each in self.in_memory():
            size.add_metric([each.model, str(each.version), each.engine], each.bytes)
            waiting.add_metric([each.model, str(each.version)], each.waiting)
        yield size
        yield waiting
