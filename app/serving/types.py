"""Types of serving: limits, versions, loaded models, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.metrics.models import ModelRecord
    from app.serving.batcher import Batcher
    from app.serving.streaming import StreamScheduler
    from ml.inference.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Limits of serving in one process."""

    #: Loaded packages together, in bytes; the least recently used model is evicted.
    memory_bytes: int
    #: Threads that read inputs, and as many that load models.
    threads: int
    #: Inputs that may wait for one model.
    queue_length: int
    #: How long a resolved model name is valid, in seconds.
    name_ttl_seconds: float
    #: Where graphs run: `cpu`, `cuda` or `cuda:N`.
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class SplitRoute:
    """A second version that gets part of an alias's requests."""

    id: str
    candidate: ServedVersion
    #: Whether the candidate gets copies of requests, and the version of the alias answers all.
    is_shadow: bool
    #: Fraction of the requests that the candidate gets.
    weight: float


@dataclass(frozen=True, slots=True)
class WatchRoute:
    """The watch of a model: the fraction of its answers that is recorded."""

    id: str
    fraction: float


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version of a model: what serving needs of its row in the database."""

    id: str
    name: str
    version: int
    task: str | None
    #: Where its package is in blob storage.
    key: str
    manifest_sha256: str
    #: Nested size that a budget chose; None where none was given.
    size: float | None = None
    #: Traffic of the alias by which it was resolved; None where one version gets all.
    split: SplitRoute | None = field(default=None, compare=False)
    #: None where nothing is recorded.
    watch: WatchRoute | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A version in memory, and the queue in front of it."""

    served: ServedVersion
    predictor: Predictor
    batcher: Batcher
    #: Sizes in bytes of the files that were loaded, by their SHA-256.
    files: Mapping[str, int]
    #: None where the model cannot stream.
    stream_scheduler: StreamScheduler | None
    #: Counters of all versions of this name.
    record: ModelRecord

    @property
    def bytes(self) -> int:
        """Size of its files, including those that other models share."""
        return sum(self.files.values())


@dataclass(frozen=True, slots=True)
class PredictResult:
    """Outputs in the order of the inputs, and the version that made them."""

    served: ServedVersion
    outputs: list[dict[str, Any]]
    #: Time that the inputs waited in the queue of the model.
    queue_seconds: float = 0.0
