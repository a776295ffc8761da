"""Results of the client as frozen dataclasses. Fields added by a newer service are ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

#: Attribute of a result: the document from which it was built.
_DOCUMENT = "_document"
#: Attribute of a prediction: the id of its request.
REQUEST_ID = "_request_id"


@dataclass(frozen=True, kw_only=True)
class ErrorInfo:
    """Reason of a failure; `user_fault` is true for a mistake in the data or spec."""

    code: str
    message: str
    hint: str | None = None
    user_fault: bool = False


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An immutable, validated version of an upload; `name@version` refers to it."""

    id: str
    name: str
    version: int
    #: importing, validating, ready or rejected.
    state: str
    task: str | None = None
    format: str | None = None
    rows: int | None = None
    #: Rows read so far; only while the dataset is being checked.
    rows_read: int | None = None
    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    bytes: int | None = None
    digest: str | None = None
    #: SPDX identifier, or free text.
    license: str | None = None
    #: `dataset` and `operations` of a dataset that was derived from another one.
    origin: Mapping[str, Any] | None = None
    error: ErrorInfo | None = None
    created_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """True if the state cannot change any more."""
        return self.state in ("ready", "rejected")


@dataclass(frozen=True, kw_only=True)
class FindingRow:
    """A row that a finding lists, by its split and its position from 0."""

    split: str
    index: int
    file: str | None = None
    #: Row of the file, from 1.
    row: int | None = None
    #: `split` and `index` of the row that it resembles.
    twin: Mapping[str, Any] | None = None
    #: The class that it has.
    given_label: str | None = None
    #: The class that it probably has, and its probability.
    label: str | None = None
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fix:
    """An operation that removes a finding of a report."""

    finding: str | None = None
    rows: int = 0
    operation: Mapping[str, Any] = field(default_factory=dict)
    is_default: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One type of issue in an upload: its count, its hint and its first occurrences."""

    code: str
    count: int = 1
    severity: str = "error"
    hint: str | None = None
    sample: Sequence[Mapping[str, Any]] = ()

    def as_mapping(self) -> dict[str, Any]:
        """Return it with the location of its first sample, for `errors.format_findings`."""
        first = self.sample[0] if self.sample else {}
        return {**first, "code": self.code, "count": self.count, "hint": self.hint}


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """All issues that the check of an upload reported, with counts of its rows."""

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
    #: Operations for `datasets.derive` that remove findings.
    fixes: Sequence[Fix] = ()
    reading: str = ""
    #: Facts of the rows by column, such as the smallest and largest size of images.
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a job."""

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
    """Name and version of a model."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class License:
    """License of a dataset or model that a model is made of."""

    #: dataset or model.
    kind: str
    #: name@version.
    reference: str
    #: SPDX identifier, or free text.
    license: str
    noncommercial: bool = False


@dataclass(frozen=True, kw_only=True)
class JobOwner:
    """The API key that submitted a job."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The metric that tells most about a job."""

    #: Key in the metrics of the job.
    name: str
    #: The name in words, and the rows that it is of.
    label: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job: one run of a spec."""

    id: str
    kind: str
    #: queued, running, succeeded, failed or cancelled.
    state: str
    reason: str | None = None
    requested: str | None = None
    #: The API key that submitted it; None for the service itself.
    owner: JobOwner | None = None
    #: high, normal or low.
    priority: str = "normal"
    spec: Mapping[str, Any] = field(default_factory=dict)
    #: The job that this one retries or clones.
    origin: str | None = None
    #: The sweep of which it is a trial, its number from 0, and its settings by path.
    parent: str | None = None
    trial: int | None = None
    parameters: Mapping[str, Any] | None = None
    dataset: str | None = None
    model: ModelReference | None = None
    #: 1 for the job that starts next in its lane; None unless it waits for a worker.
    queue_position: int | None = None
    progress: Progress = Progress()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    headline: Headline | None = None
    attempt: int = 0
    error: ErrorInfo | None = None
    #: Reasons not to trust the model that the job produced.
    warnings: Sequence[str] = ()
    #: Licenses of the data and of the models that the job trains on.
    licenses: Sequence[License] = ()
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """True if the state cannot change any more."""
        return self.state in ("succeeded", "failed", "cancelled")

    @property
    def training(self) -> Mapping[str, Any]:
        """The spec of the training: that of the job, or the one in a sweep."""
        job = self.spec.get("job")
        # That of a reproduction is the id of another job.
        return job if isinstance(job, Mapping) else self.spec


@dataclass(frozen=True, kw_only=True)
class Event:
    """Event of a job. Ids count from 1 within a job."""

    id: int
    #: state, progress, metric, log or checkpoint.
    kind: str
    data: Mapping[str, Any]
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of the log of a job."""

    id: int
    message: str
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint from which a job can resume."""

    step: int
    digest: str
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ModelEvaluation:
    """Evaluation of a model version on a split of a dataset version."""

    job: str
    #: `name@version`, as the next one.
    model: str
    dataset: str
    split: str
    rows: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    #: Metrics of a trivial model.
    baseline: Mapping[str, Any] = field(default_factory=dict)
    #: 95 % confidence intervals.
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: Expected calibration error (`ece`) and reliability diagram (`bins`) of a classifier.
    calibration: Mapping[str, Any] | None = None
    #: Reasons not to trust the model.
    warnings: Sequence[str] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A row where an evaluated model is wrong; `index` counts from 0 in the split."""

    split: str
    index: int
    #: File of the upload with the row; None in datasets of earlier builds.
    file: str | None = None
    #: Row and line of the file, from 1.
    row: int | None = None
    line: int | None = None
    #: The row as an input of `predict`.
    input: Mapping[str, Any] = field(default_factory=dict)
    truth: Any = None
    answer: Any = None
    #: Probability of the answer, for tasks that choose a class.
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """One file of a model package."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Origin of a model: its job, dataset and parent model."""

    job: str | None = None
    dataset: Mapping[str, Any] | None = None
    parent: ModelReference | None = None


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A registered, immutable version of a model."""

    name: str
    version: int
    #: None for a base model, which returns embeddings only.
    task: str | None = None
    architecture: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    bytes: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    #: License of the model itself; None if it is not known.
    license: str | None = None
    #: Licenses of the model and of the data and models that it was made of.
    licenses: Sequence[License] = ()
    lineage: Lineage | None = None
    files: Sequence[PackageFile] = ()
    formats: Sequence[str] = ()
    aliases: Sequence[str] = ()
    #: `onnxruntime`, or `torch` for a package without a graph. This field and the next three are filled for a single
    #: version, not in lists.
    engine: str | None = None
    #: Why the package has no graph.
    engine_reason: str | None = None
    #: Reasons not to trust the model.
    warnings: Sequence[str] = ()
    #: By graph name: its comparison with the network (`parity`) and the optimized graph that was tried (`variant`).
    graphs: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: a name with its versions and aliases."""

    name: str
    task: str | None = None
    latest_version: int
    versions: int
    aliases: Mapping[str, int] = field(default_factory=dict)
    #: Whether it has a watch.
    is_watched: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Alias of a model version.

    Pass `etag` as `if_match` to `set_alias` to move the alias only if it is unchanged.
    """

    model: str
    alias: str
    version: int
    etag: str
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SplitVersion:
    """Figures of one of the two versions of a split."""

    version: int
    requests: int
    #: Requests that failed; invalid inputs do not count.
    errors: int
    #: Quantiles `p50`, `p90` and `p99`; None without requests.
    latency_seconds: Mapping[str, float | None] = field(default_factory=dict)
    #: Fraction of each predicted class.
    classes: Mapping[str, float] = field(default_factory=dict)
    mean_confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrafficSplit:
    """Traffic of an alias, with figures of its version and of the candidate."""

    model: str
    alias: str
    #: `canary` or `shadow`.
    mode: str
    #: Fraction of the requests that the candidate gets.
    weight: float
    current: SplitVersion
    candidate: SplitVersion
    #: Fraction of mirrored inputs to which both gave the same label.
    agreement: float | None = None
    #: Copies that were not run, as too many were running.
    dropped: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class EvidencePoint:
    """Evidence of drift after some rows."""

    rows: int
    value: float
    at: datetime


@dataclass(frozen=True, kw_only=True)
class DriftState:
    """State of one drift test of a watch."""

    test: str
    version: int
    #: First rows of the version, which later ones are compared with.
    reference_rows: int
    #: Rows that were compared.
    rows: int
    #: Evidence of drift: 1 at first, an alarm from `threshold` on.
    value: float
    threshold: float
    #: Probability of an alarm without drift, however long the test runs.
    false_alarm_rate: float
    alarm_at: datetime | None = None
    alarm_row: int | None = None
    #: Values until now, oldest first.
    evidence: Sequence[EvidencePoint] = ()


@dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """Something that a watch saw or did."""

    at: datetime
    #: alias, drift, needs_labels, training, training_failed, skipped, refused, passed, promoted, restored, ...
    kind: str
    message: str


@dataclass(frozen=True, kw_only=True)
class VersionTraffic:
    """Counts of one version since the watch began."""

    version: int
    requests: int
    errors: int
    recorded: int
    #: Inputs that found no room in the queue of records.
    dropped: int


@dataclass(frozen=True, kw_only=True)
class WatchState:
    """Counts, drift tests and events of a watch."""

    records: int
    bytes: int
    feedback: int
    versions: Sequence[VersionTraffic] = ()
    drift: Sequence[DriftState] = ()
    #: The training that is under way, and its stage.
    round: Mapping[str, Any] | None = None
    #: First alarm about the present version.
    alarm: Mapping[str, Any] | None = None
    #: Promotion that may be taken back.
    guard: Mapping[str, Any] | None = None
    #: Result of the last comparison, with the forgetting table.
    gate: Mapping[str, Any] | None = None
    #: Oldest first.
    events: Sequence[WatchEvent] = ()


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Records of a model's requests, and the reaction to drift."""

    model: str
    #: off, sketches or rows.
    keep: str = "off"
    fraction: float = 0.1
    #: `auto`, or names of tests.
    drift: Any = "auto"
    gate: Any = "auto"
    #: tell, train or promote.
    then: str = "tell"
    alias: str = "production"
    dataset: str | None = None
    min_feedback: int = 100
    guard_hours: float = 24
    training: Mapping[str, Any] = field(default_factory=dict)
    max_rows: int = 10_000
    max_bytes: int = 256 * 2**20
    max_days: float = 30
    state: WatchState
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """The true label of one input of a model."""

    id: str
    model: str
    label: str
    #: Label that the input had before.
    previous_label: str | None = None
    #: Whether the input had this label already.
    is_repeated: bool = False
    request_id: str | None = None
    #: Version that answered the request, and its answer.
    version: int | None = None
    predicted: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LabelCandidate:
    """A recorded input that is useful to label."""

    request_id: str
    position: int
    #: As `predict` and `feedback.send` read it.
    input: Mapping[str, Any]
    version: int
    predicted: str
    confidence: float
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LabelCandidates:
    """Recorded inputs without feedback, the most useful first."""

    model: str
    #: Labels that the model knows.
    labels: Sequence[str] = ()
    data: Sequence[LabelCandidate] = ()


@dataclass(frozen=True, kw_only=True)
class FeedbackDataset:
    """A dataset of feedback, which a job makes; wait for it with `datasets.wait`."""

    id: str
    #: `name@version`, as the next one.
    dataset: str
    #: Dataset to which feedback is added.
    origin: str
    #: Rows of feedback.
    feedback: int


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key; only the results of `create` and `rotate` have its `secret`."""

    id: str
    name: str
    #: predict, train or admin; each includes those before it.
    scope: str = "admin"
    #: Patterns of the names of models that it may use; None: all.
    models: Sequence[str] | None = None
    requests_per_minute: int | None = None
    #: Jobs that may be queued or running at once; None: as the settings of the service say.
    max_jobs: int | None = None
    #: CPU time of trainings that start within a day; None: as the settings of the service say.
    cpu_seconds_per_day: int | None = None
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: True for the key with which the request was sent.
    is_current: bool = False
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address to which events are sent; only the result of `create` has its `secret`."""

    id: str
    url: str
    #: Types of events, groups such as `job.*`, or `*`.
    events: Sequence[str]
    #: Patterns of names; None: all.
    models: Sequence[str] | None = None
    datasets: Sequence[str] | None = None
    is_enabled: bool = True
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    created_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event on its way to a webhook; its id is the `webhook-id`."""

    id: str
    webhook: str
    #: Type of the event.
    type: str
    #: pending, delivered or failed.
    state: str
    attempts: int
    #: The body: `type`, `timestamp` and `data`.
    payload: Mapping[str, Any]
    next_attempt_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DiskPart:
    """Space that one kind of content takes, and the expired part of it."""

    kind: str
    count: int
    bytes: int
    summary: str = ""
    #: Variable that sets the retention; None: deleted by its owner alone.
    setting: str | None = None
    retention_days: float | None = None
    expired_count: int = 0
    expired_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class DiskSpace:
    """Space of the service by kind, and the free space of its disk."""

    free_bytes: int
    total_bytes: int
    kinds: Sequence[DiskPart] = ()


@dataclass(frozen=True, kw_only=True)
class DeletedPart:
    """Items of one kind that a clean-up deleted."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class DiskCleaned:
    """Result of a clean-up."""

    deleted: Sequence[DeletedPart] = ()
    #: Bytes of all kinds together.
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Outputs of a model: one for each input, in the same order."""

    model: str
    version: int
    task: str | None = None
    outputs: Sequence[Mapping[str, Any]] = ()
    #: Nested size that answered; None unless the request had a budget.
    size: float | None = None

    @property
    def output(self) -> Mapping[str, Any]:
        """First output; the only one if one input was sent."""
        return self.outputs[0]

    @property
    def request_id(self) -> str:
        """Id of the request, by which `feedback.send` names it; "" if unknown."""
        return str(getattr(self, REQUEST_ID, ""))


def build(result_type: Callable[..., T], document: Mapping[str, Any]) -> T:
    """Build one of the dataclasses above from a JSON document."""
    types = _get_field_types(result_type)
    result = result_type(**{name: _convert(types[name], value) for name, value in document.items() if name in types})
    # Beside the fields: programs that pass the answer on need all of it.
    object.__setattr__(result, _DOCUMENT, document)
    return result


def to_document(result: Any) -> Any:
    """Return the JSON document of a result of `build`; other values stay the same."""
    document = getattr(result, _DOCUMENT, None)
    if document is None and dataclasses.is_dataclass(result) and not isinstance(result, type):
        return dataclasses.asdict(result)
    return result if document is None else document


@cache
def _get_field_types(result_type: Any) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(result_type)}
    return {name: hint for name, hint in get_type_hints(result_type).items() if name in names}


def _convert(hint: Any, value: Any) -> Any:
    """Convert nested documents to dataclasses, and times to datetimes."""
    if isinstance(hint, UnionType):
        (hint, *_) = (option for option in get_args(hint) if option is not type(None))
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return build(hint, value)
    if get_origin(hint) is Sequence and isinstance(value, list):
        return [_convert(get_args(hint)[0], item) for item in value]
    return value
