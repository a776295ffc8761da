"""What the service answers, as frozen values. Fields that a newer service adds are passed over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why something failed; `user_fault` tells a mistake in data or spec from one of the service."""

    code: str
    message: str
    hint: str | None = None
    user_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An immutable, validated version of what was uploaded; `name@version` refers to it."""

    id: str
    name: str
    version: int
    state: str
    """importing, validating, ready or rejected."""
    task: str | None = None
    format: str | None = None
    rows: int | None = None
    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    bytes: int | None = None
    digest: str | None = None
    error: Fault | None = None
    created_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether its state will not change any more."""
        return self.state in ("ready", "rejected")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing that is wrong in an upload, how often, and where it was first seen."""

    code: str
    count: int = 1
    severity: str = "error"
    hint: str | None = None
    sample: Sequence[Mapping[str, Any]] = ()

    def as_mapping(self) -> dict[str, Any]:
        """With the place of its first sample, for `plinth.errors.findings_as_lines`."""
        first = self.sample[0] if self.sample else {}
        return {**first, "code": self.code, "count": self.count, "hint": self.hint}


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """Everything that was found in an upload, at once."""

    state: str
    rows: int = 0
    accepted: int = 0
    repaired: int = 0
    rejected: int = 0
    errors: Sequence[Finding] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Any = None
    suggestions: Sequence[Any] = ()
    guess: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is."""

    phase: str | None = None
    epoch: float | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    percent: float | None = None
    samples_per_second: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """A model's name and version."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a spec."""

    id: str
    kind: str
    state: str
    """queued, running, succeeded, failed or cancelled."""
    reason: str | None = None
    requested: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    model: ModelReference | None = None
    progress: Progress = Progress()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 0
    error: Fault | None = None
    warnings: Sequence[str] = ()
    """Why not to trust what it made."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether its state will not change any more."""
        return self.state in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job. Ids count from 1 within a job."""

    id: int
    kind: str
    """state, progress, metric, log or checkpoint."""
    data: Mapping[str, Any]
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """One file of a package."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a model comes from."""

    job: str | None = None
    dataset: Mapping[str, Any] | None = None
    parent: ModelReference | None = None


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A registered, immutable version of a model."""

    name: str
    version: int
    task: str | None = None
    """None for a base model, which answers embeddings only."""
    architecture: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    bytes: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    lineage: Lineage | None = None
    files: Sequence[PackageFile] = ()
    formats: Sequence[str] = ()
    aliases: Sequence[str] = ()
    engine: str | None = None
    """`onnxruntime`, or `torch` where there is no graph; told of a single version, like the next three."""
    engine_reason: str | None = None
    warnings: Sequence[str] = ()
    """Why not to trust it."""
    graphs: Mapping[str, Any] = field(default_factory=dict)
    """By name how each compares with the network (`parity`), and what was tried to make it faster (`variant`)."""
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A name and what stands under it."""

    name: str
    task: str | None = None
    latest_version: int
    versions: int
    aliases: Mapping[str, int] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A name for a version; `etag` goes into `if_match`, to move it only if nobody else did."""

    model: str
    alias: str
    version: int
    etag: str
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key; `secret` is there only in the answer that made it."""

    id: str
    name: str
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model answered: one output for each input, in the same order."""

    model: str
    version: int
    task: str | None = None
    outputs: Sequence[Mapping[str, Any]] = ()

    @property
    def output(self) -> Mapping[str, Any]:
        """The first output: the only one where one input was sent."""
        return self.outputs[0]


def build(kind: Callable[..., T], document: Mapping[str, Any]) -> T:
    """A value of a dataclass above out of a JSON document."""
    types = _types(kind)
    return kind(**{name: _convert(types[name], value) for name, value in document.items() if name in types})


@cache
def _types(kind: Any) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(kind)}
    return {name: hint for name, hint in get_type_hints(kind).items() if name in names}


def _convert(hint: Any, value: Any) -> Any:
    """Nested documents become dataclasses, and times datetimes; all else stays as JSON has it."""
    if isinstance(hint, UnionType):
        (hint, *_) = (option for option in get_args(hint) if option is not type(None))
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return build(hint, value)
    if get_origin(hint) is Sequence and isinstance(value, list):
        return [_convert(get_args(hint)[0], item) for item in value]
    return value
