"""Jobs as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from app.catalog.schemas import Task

if TYPE_CHECKING:
    from store.tables import Checkpoint as CheckpointRow
    from store.tables import Event as EventRow
    from store.tables import Job as JobRow

JobKind = TypeAliasType("JobKind", Literal["validate", "pretrain", "finetune", "import", "export"])
JobState = TypeAliasType("JobState", Literal["queued", "running", "succeeded", "failed", "cancelled"])
JobRequest = TypeAliasType("JobRequest", Literal["cancel", "stop", "pause"])
EventKind = TypeAliasType("EventKind", Literal["state", "progress", "metric", "log", "checkpoint"])
Point = Annotated[list[int | float | None], Field(min_length=2, max_length=2)]
"""Step and value."""

FINAL = frozenset({"succeeded", "failed", "cancelled"})


class Progress(BaseModel):
    """How far a run is."""

    model_config = ConfigDict(extra="allow")

    phase: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    percent: float | None = None
    samples_per_second: float | None = None
    eta_seconds: float | None = None


class JobError(BaseModel):
    """Why a job failed, and whose fault it was."""

    code: str
    message: str
    hint: str | None = None
    user_fault: bool = False


class ModelVersionReference(BaseModel):
    """One version of a model."""

    name: str
    version: int


class Job(BaseModel):
    """One run of a spec. `attempt` counts how often a worker has begun it; `requested` is what it was asked to do."""

    id: str
    object: Literal["job"] = "job"
    kind: JobKind
    state: JobState
    reason: str | None
    requested: JobRequest | None
    spec: dict[str, Any]
    dataset: str | None
    model: ModelVersionReference | None
    progress: Progress
    metrics: dict[str, float | None]
    attempt: int
    error: JobError | None
    warnings: list[str]
    """Of one that succeeded: why not to trust what it made. In the report, too."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow, *, version: int | None) -> Self:
        """As stored; `version` is that of the model it made."""
        model = ModelVersionReference(name=row.model_name, version=version) if row.model_name and version else None
        return cls(
            id=row.id,
            kind=row.kind,
            state=row.state,
            reason=row.reason,
            requested=row.requested,
            spec=row.spec,
            dataset=row.dataset_id,
            model=model,
            progress=Progress.model_validate(row.progress or {}),
            metrics=row.latest or {},
            attempt=row.fence,
            error=JobError.model_validate(row.error) if row.error else None,
            warnings=(row.report or {}).get("warnings", []),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class CheckedSpec(BaseModel):
    """What `validate_only` answers: the spec with every default filled in."""

    object: Literal["validation"] = "validation"
    valid: Literal[True] = True
    spec: dict[str, Any]


class Event(BaseModel):
    """Something that happened to a job. `id` counts from 1 and goes into `Last-Event-ID`."""

    id: int
    object: Literal["event"] = "event"
    kind: EventKind
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """As stored."""
        return cls(id=row.number, kind=row.kind, data=row.data, created_at=row.created_at)


class Checkpoint(BaseModel):
    """A point from which the job can go on."""

    object: Literal["checkpoint"] = "checkpoint"
    step: int
    digest: str
    created_at: datetime

    @classmethod
    def of(cls, row: CheckpointRow) -> Self:
        """As stored."""
        return cls(step=row.step, digest=row.digest, created_at=row.created_at)


class LogLine(BaseModel):
    """One line a run wrote."""

    model_config = ConfigDict(extra="allow")

    id: int
    object: Literal["log"] = "log"
    message: str
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """As stored."""
        return cls.model_validate({"message": "", **row.data, "id": row.number, "created_at": row.created_at})


class PerClass(BaseModel):
    """How well one class is told, by what its task measures: precision, recall and f1; or map and map50."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    label: str
    support: int


class Report(BaseModel):
    """The evaluation on the test split; further fields by task. Of an import or export, what came of it."""

    model_config = ConfigDict(extra="allow")

    task: Task | None = None
    split: str | None = None
    rows: int | None = None
    metrics: dict[str, float | None] = {}
    warnings: list[str] = []
    """Why not to trust the model: nothing here shows that it beats the trivial baseline."""
    baseline: dict[str, float | None] | None = None
    classes: list[str] | None = None
    confusion_matrix: list[list[int]] | None = None
    per_class: list[PerClass] | None = None
    errors: list[Any] = []
