"""Schemas of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from app.catalog.schemas import Task
from app.jobs.descriptions.headline import choose_headline
from ml.config import Config
from ml.licenses import is_noncommercial
from ml.spec.cost import TrainingCost
from store.tables import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.models import PartLicense
    from store.tables import Checkpoint as CheckpointRow
    from store.tables import Event as EventRow
    from store.tables import Job as JobRow

JobKind = TypeAliasType(
    "JobKind",
    Literal[
        "validate",
        "derive",
        "pretrain",
        "finetune",
        "import",
        "export",
        "evaluate",
        "batch_predict",
        "compare",
        "reproduce",
        "prune",
        "recommend",
        "sweep",
    ],
)
JobState = TypeAliasType("JobState", Literal["queued", "running", "succeeded", "failed", "cancelled"])
JobStateFilter = TypeAliasType(
    "JobStateFilter", Literal["queued", "running", "succeeded", "failed", "cancelled", "paused"]
)
JobPriority = TypeAliasType("JobPriority", Literal["high", "normal", "low"])
JobRequest = TypeAliasType("JobRequest", Literal["cancel", "stop", "pause"])
EventKind = TypeAliasType("EventKind", Literal["state", "progress", "metric", "log", "checkpoint"])
LicensedKind = TypeAliasType("LicensedKind", Literal["dataset", "model"])
#: Step and value.
Point = Annotated[list[int | float | None], Field(min_length=2, max_length=2)]

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class Progress(BaseModel):
    """Progress of a job; the fields depend on its kind and phase."""

    model_config = ConfigDict(extra="allow")

    phase: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    percent: float | None = None
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    cpu_seconds: float | None = Field(None, description="CPU time of the job so far, of all its attempts.")


class JobError(BaseModel):
    """Reason why a job failed."""

    code: str
    message: str
    hint: str | None = None
    user_fault: bool = Field(False, description="Whether the request or the data must be changed.")


class JobOwner(BaseModel):
    """The API key that submitted a job."""

    id: str
    name: str


class JobUpdate(Config):
    """Changes of a job that has not ended."""

    priority: JobPriority = Field(description="Jobs of a higher priority start first; a run is not interrupted.")


class ModelVersionReference(BaseModel):
    """One version of a model."""

    name: str
    version: int


class License(BaseModel):
    """License of a part of a model: its data, its base, or the model itself."""

    kind: LicensedKind
    reference: str = Field(description="`name@version`")
    license: str = Field(description="SPDX identifier, or free text.")
    noncommercial: bool = Field(description="Whether the license excludes commercial use, by its name.")

    @classmethod
    def of(cls, part: PartLicense) -> Self:
        """Convert the license of a part."""
        return cls(
            kind="dataset" if part.kind == "dataset" else "model",
            reference=part.reference,
            license=part.license,
            noncommercial=is_noncommercial(part.license),
        )


class JobHeadline(BaseModel):
    """The metric that tells most about a job."""

    name: str = Field(description="Key in `metrics`.")
    label: str = Field(description="The name in words, and the rows that it is of.")
    value: float


class Job(BaseModel):
    """One run of a spec."""

    id: str
    object: Literal["job"] = "job"
    kind: JobKind
    state: JobState
    reason: str | None
    requested: JobRequest | None = Field(description="Request to cancel, stop or pause the job; null if there is none.")
    owner: JobOwner | None = Field(description="The API key that submitted the job; null for the service itself.")
    priority: JobPriority = Field(description="Jobs of a higher priority start first.")
    spec: dict[str, Any]
    origin: str | None = Field(None, description="The job that this one retries or clones.")
    parent: str | None = Field(None, description="The sweep of which the job is a trial.")
    trial: int | None = Field(None, description="Number of the trial, from 0: the default recipe.")
    parameters: dict[str, Any] | None = Field(None, description="Settings of the trial, by path.")
    dataset: str | None
    model: ModelVersionReference | None
    queue_position: int | None = Field(
        description="1 for the job that starts next in its lane; null unless it waits for a worker."
    )
    progress: Progress
    metrics: dict[str, float | None] = Field(
        description="Newest value of each metric; once the job has ended, those of the test rows, too."
    )
    headline: JobHeadline | None = Field(
        description="The metric that the report opens with, before its end that of validation rows; a loss only where "
        "there is nothing else."
    )
    attempt: int = Field(description="Number of times that a worker has started the job.")
    error: JobError | None
    warnings: list[str] = Field(
        description="Reasons not to trust the result of a job that succeeded, as in its report."
    )
    licenses: list[License] = Field(description="Licenses of the data and of the models that the job trains on.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(
        cls,
        row: JobRow,
        *,
        version: int | None,
        queue_position: int | None,
        owner_name: str | None = None,
        licenses: Sequence[License] = (),
    ) -> Self:
        """Convert a row; `version` is that of the model that the job registered."""
        best = choose_headline(row.spec, row.latest or {})
        model = ModelVersionReference(name=row.model_name, version=version) if row.model_name and version else None
        return cls(
            id=row.id,
            kind=row.kind,
            state=row.state,
            reason=row.reason,
            requested=row.requested,
            owner=JobOwner(id=row.owner_id, name=owner_name) if owner_name is not None else None,
            priority=PRIORITIES[row.priority],
            spec=row.spec,
            origin=row.origin_id,
            parent=row.parent_id,
            trial=row.trial,
            parameters=row.parameters,
            dataset=row.dataset_id,
            model=model,
            queue_position=queue_position,
            progress=Progress.model_validate(row.progress or {}),
            metrics=row.latest or {},
            headline=JobHeadline.model_validate(best._asdict()) if best else None,
            attempt=row.fence,
            error=JobError.model_validate(row.error) if row.error else None,
            warnings=row.warnings or [],
            licenses=list(licenses),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class CheckedSpec(BaseModel):
    """Response to `validate_only`: the spec with all defaults."""

    object: Literal["validation"] = "validation"
    valid: Literal[True] = True
    spec: dict[str, Any]
    notes: list[str] = Field(
        default_factory=list, description="What few rows or large images of the dataset change, as the log will say it."
    )
    epochs: int | None = Field(None, description="Epochs with the rows of the dataset; those of few rows are more.")
    max_epochs: int | None = Field(
        None, description="Epochs while validation improves, within the budget of steps; null if `epochs` is the end."
    )
    expected_seconds: float | None = Field(
        None, description="Time from the newest training of the same network; null before the first, see `measure`."
    )
    expected_from: str | None = Field(None, description="Job that the expected time is computed from.")
    batch_size: int | None = Field(None, description="Rows of a batch with the rows of the dataset.")
    bases: list[str] = Field(
        default_factory=list,
        description="Registered base models that fit a fine-tuning from scratch, newest first, for `start_from`.",
    )
    licenses: list[License] = Field(
        default_factory=list, description="Licenses of the data and of the models that the job would train on."
    )
    cost: TrainingCost | None = Field(None, description="What the training takes, with `measure`.")


class Event(BaseModel):
    """An event of a job."""

    id: int = Field(description="Counts from 1 within the job; the value of `Last-Event-ID`.")
    object: Literal["event"] = "event"
    kind: EventKind
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """Convert a row."""
        return cls(id=row.number, kind=row.kind, data=row.data, created_at=row.created_at)


class Checkpoint(BaseModel):
    """A checkpoint from which the job can resume."""

    object: Literal["checkpoint"] = "checkpoint"
    step: int
    digest: str
    created_at: datetime

    @classmethod
    def of(cls, row: CheckpointRow) -> Self:
        """Convert a row."""
        return cls(step=row.step, digest=row.digest, created_at=row.created_at)


class LogLine(BaseModel):
    """One line of the log of a job."""

    model_config = ConfigDict(extra="allow")

    id: int
    object: Literal["log"] = "log"
    message: str
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """Convert a row."""
        return cls.model_validate({"message": "", **row.data, "id": row.number, "created_at": row.created_at})


class PerClass(BaseModel):
    """Metrics of one class: precision, recall and f1, or map and map50."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    label: str
    support: int


class ReliabilityBin(BaseModel):
    """Rows whose confidence lies in one of 15 equal ranges."""

    confidence: float = Field(description="Mean probability of the predicted class.")
    accuracy: float = Field(description="Fraction of the rows that are right.")
    count: int


class Reliability(BaseModel):
    """Confidence of a classifier, compared with its accuracy."""

    ece: float = Field(description="Expected calibration error: mean distance of confidence and accuracy of the bins.")
    bins: list[ReliabilityBin]


class CalibrationReport(Reliability):
    """Reliability of the probabilities that are served, and of those before the calibration."""

    temperature: float | None = Field(None, description="Divides the logits; null for a model without a calibration.")
    fitted_rows: int | None = Field(
        None, description="Validation rows, and rows of folds, that the temperature was fitted to."
    )
    before: Reliability | None = None


class LabelSets(BaseModel):
    """Measured sets of labels for a value of `conformal`."""

    coverage: float = Field(description="Requested fraction of rows whose set holds the true label.")
    measured: float
    labels: float = Field(description="Mean number of labels in a set.")


class Abstention(BaseModel):
    """Measured answers above the threshold of confidence for a wanted precision."""

    precision: float = Field(description="Wanted fraction of right answers; the threshold is of validation rows.")
    threshold: float
    measured: float = Field(description="Measured fraction of right answers; 1 if there is none.")
    coverage: float = Field(description="Fraction of the rows that are answered.")


class PartAlone(BaseModel):
    """One part of the rows alone, such as their image; for tasks that join several."""

    rows: int = Field(description="Rows that have the part.")
    accuracy: float = Field(description="Accuracy of the model when it reads this part alone.")
    interval: list[float] = Field(description="95 % confidence interval of the accuracy.")
    accuracy_of_all: float = Field(description="Accuracy with all parts, on the same rows.")


class PartError(BaseModel):
    """One part of the rows alone, for tasks that predict a number from several."""

    rows: int = Field(description="Rows that have the part.")
    rmse: float = Field(description="RMSE of the model when it reads this part alone.")
    mae: float
    r2: float
    rmse_of_all: float = Field(description="RMSE with all parts, on the same rows.")


class Slice(BaseModel):
    """The first metric on rows of one class, length, size or value."""

    column: str
    measure: str = Field(description="`class`, `value`, `characters`, `pixels`, `seconds`, `items` or `objects`.")
    value: str = Field(description="The value, or its range.")
    rows: int
    metric: str
    metric_value: float
    interval: list[float] | None = Field(None, description="95 % confidence interval.")
    is_worse: bool | None = Field(None, description="Whether the interval excludes the value of all rows together.")


class MistakenRow(BaseModel):
    """A row where the model is wrong; `index` counts from 0 in the split."""

    model_config = ConfigDict(extra="allow")

    index: int
    truth: Any = None
    answer: Any = None


class MistakeList(BaseModel):
    """Rows where the model is wrong, the surest first."""

    count: int | None = Field(description="Number of all mistakes; null where only the worst rows are listed.")
    rows: list[MistakenRow]


class ReferenceModel(BaseModel):
    """Name and metrics of another model that learned from the same rows."""

    model_config = ConfigDict(extra="allow")

    model: str
    rows: int = Field(description="Training rows that it learned from; a random sample of a large table.")
    metrics: dict[str, float | None]


class Report(BaseModel):
    """The evaluation on a split, or the result of an import or export.

    Tasks add fields of their own.
    """

    model_config = ConfigDict(extra="allow")

    task: Task | None = None
    split: str | None = None
    rows: int | None = None
    metrics: dict[str, float | None] = {}
    summary: str | None = Field(None, description="The first metric in words, beside that of a trivial model.")
    warnings: list[str] = Field([], description="Reasons not to trust the model, such as a metric below the baseline.")
    notes: list[str] = Field(
        [],
        description="Conditions under which a metric means something else than its name suggests, such as BLEU over "
        "short answers, macro F1 over absent classes, or an error rate above 1.",
    )
    baseline: dict[str, float | None] | None = Field(None, description="Metrics of a trivial model.")
    reference: ReferenceModel | None = Field(
        None, description="Another model that learned from the same rows, with its metrics; for tabular tasks."
    )
    calibration: CalibrationReport | None = Field(None, description="For tasks that choose a class.")
    conformal: list[LabelSets] | None = None
    abstention: list[Abstention] | None = Field(
        None, description="For the precisions that the validation rows can promise."
    )
    parts: dict[str, PartAlone | PartError] | None = Field(
        None, description="For tasks that join several parts of a row."
    )
    slices: list[Slice] | None = Field(None, description="The worst first; only in evaluations.")
    mistakes: MistakeList | None = Field(None, description="Only in evaluations.")
    sweep: dict[str, Any] | None = Field(
        None,
        description="For a sweep: metric, best trial and its settings, what the default recipe reached "
        "(`default_value`), all `trials`, and the `importance` of each setting.",
    )
    classes: list[str] | None = None
    confusion_matrix: list[list[int]] | None = None
    per_class: list[PerClass] | None = None
    errors: list[Any] = []


class ModelEvaluation(BaseModel):
    """Result of a job of the kind `evaluate`, in short.

    `GET /api/v1/jobs/{job}/report` has all of it.
    """

    object: Literal["evaluation"] = "evaluation"
    job: str
    model: str = Field(description="`name@version`")
    dataset: str = Field(description="`name@version`")
    split: str
    rows: int
    metrics: dict[str, float | None]
    baseline: dict[str, float | None]
    intervals: dict[str, list[float]] = Field(description="95 % confidence intervals.")
    calibration: CalibrationReport | None = None
    warnings: list[str]
    created_at: datetime

    @classmethod
    def of(cls, row: JobRow) -> Self:
        """Convert a row of a job that succeeded."""
        return cls.model_validate({**(row.report or {}), "job": row.id, "created_at": row.finished_at})
