"""Jobs.

One row is one job, and the row is the only record of its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
FINAL_STATES = ("succeeded", "failed", "cancelled")
REQUESTS = ("cancel", "stop", "pause")


class JobKind(StrEnum):
    """The work that a job does."""

    #: Validate an upload and make a dataset of it; such jobs are listed only on request.
    VALIDATE = "validate"
    #: Make a dataset of another one by operations on its rows; listed only on request as well.
    DERIVE = "derive"
    PRETRAIN = "pretrain"
    FINETUNE = "finetune"
    #: Make a model of an upload or of a model on the Hugging Face hub.
    IMPORT = "import"
    #: Write a model in the format of another library.
    EXPORT = "export"
    #: Report how good a model is on a dataset.
    EVALUATE = "evaluate"
    #: Predict every row of a dataset.
    BATCH_PREDICT = "batch_predict"
    #: Compare a version with its successor on old and new test rows, in the loop of a watch.
    COMPARE = "compare"
    #: Repeat a training, to prove that it gives the same weights.
    REPRODUCE = "reproduce"
    #: Make a model smaller.
    PRUNE = "prune"
    #: Compare base models on a dataset.
    RECOMMEND = "recommend"
    #: Search for the settings of a fine-tuning, by trials that are jobs of their own.
    SWEEP = "sweep"


#: Kinds of jobs that make a dataset.
DATASET_KINDS = (JobKind.VALIDATE, JobKind.DERIVE)


class Lane(StrEnum):
    """Queue of jobs with slots of its own: a full lane delays no other lane."""

    #: Runs that compute: `PLINTH_JOB_SLOTS` at once.
    COMPUTING = "computing"
    #: Imports and exports: `PLINTH_IMPORT_SLOTS` at once.
    IMPORTING = "importing"
    #: Sweeps, which start their trials and leave: they wait for nothing, as their trials may wait for them.
    COORDINATING = "coordinating"


#: Lanes of the kinds that do not compute. In the lane of its trials, a sweep would be a deadlock of one slot.
_LANES: Final[Mapping[str, Lane]] = {
    JobKind.VALIDATE: Lane.IMPORTING,
    JobKind.DERIVE: Lane.IMPORTING,
    JobKind.IMPORT: Lane.IMPORTING,
    JobKind.EXPORT: Lane.IMPORTING,
    JobKind.SWEEP: Lane.COORDINATING,
}

Priority = Literal["high", "normal", "low"]
#: Priorities by their number in the database, which orders the queue.
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "normal", "low")


def lane_of(kind: str) -> Lane:
    """Return the lane in which jobs of a kind wait."""
    return _LANES.get(kind, Lane.COMPUTING)


#: Lists leave trials out. An index over all jobs would be chosen for it and hold nearly all of them.
_IS_TRIAL = text("parent_id IS NOT NULL")


class Job(Base):
    """State, reason and request are three columns: what is, why, and what a user requested."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(f"state IN {JOB_STATES}", name="state"),
        CheckConstraint(f"requested IN {REQUESTS}", name="requested"),
        Index("ix_job_state_notify_at", "state", "notify_at"),
        # Lists are ordered by id: without it in the index, each page would sort all jobs.
        Index("ix_job_kind_id", "kind", "id"),
        Index("ix_job_parent_id_id", "parent_id", "id"),
        Index("ix_job_dataset_id", "dataset_id"),
        # The next job of each owner in a lane, and the number of those that run, are one seek each.
        Index("ix_job_queue", "state", "lane", "owner_id", "priority", "id"),
        Index("ix_job_owner_id_lane_started_at", "owner_id", "lane", "started_at"),
        Index("ix_job_trial", "parent_id", "trial", unique=True, sqlite_where=_IS_TRIAL, postgresql_where=_IS_TRIAL),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    #: API key that submitted it; empty for jobs of the service itself, and those before owners were recorded.
    owner_id: Mapped[str] = mapped_column(default="", server_default="")
    #: Index in `PRIORITIES`.
    priority: Mapped[int] = mapped_column(default=1, server_default="1")
    lane: Mapped[str] = mapped_column(default=Lane.COMPUTING, server_default=Lane.COMPUTING)
    reason: Mapped[str | None]
    requested: Mapped[str | None]
    spec: Mapped[dict[str, Any]]
    #: The spec as it was sent, without defaults and with pinned versions; a clone changes it.
    request: Mapped[dict[str, Any] | None]
    #: The job that this one retries or clones.
    origin_id: Mapped[str | None]
    #: The sweep of which this job is a trial, its number from 0, and its settings by path.
    parent_id: Mapped[str | None]
    trial: Mapped[int | None]
    parameters: Mapped[dict[str, Any] | None]
    #: Span of the request that submitted it, as W3C Trace Context writes it; None where traces are not sent.
    traceparent: Mapped[str | None]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    #: Name under which the result is registered.
    model_name: Mapped[str | None]

    #: Incremented by each claim; a write with an older fence matches no row.
    fence: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    #: Back-off after a crash: the job is not claimed before this time.
    not_before: Mapped[datetime | None]
    #: When workers are notified of the queued job again.
    notify_at: Mapped[datetime] = mapped_column(default=clock())
    #: Notifications sent since the job was last queued; the delay until the next one grows with it.
    notify_attempts: Mapped[int] = mapped_column(default=0)

    progress: Mapped[dict[str, Any] | None]
    #: The newest value of each metric.
    latest: Mapped[dict[str, Any] | None]
    #: Number of the last event.
    events: Mapped[int] = mapped_column(default=0)
    report: Mapped[dict[str, Any] | None]
    #: Reasons not to trust the result, as in the report.
    warnings: Mapped[list[Any] | None]
    error: Mapped[dict[str, Any] | None]

    created_at: Mapped[datetime] = mapped_column(default=clock())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: The row stays, so that the lineage of datasets and models remains.
    deleted_at: Mapped[datetime | None]
