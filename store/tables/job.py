"""Jobs: one row is one job, and the row is the truth."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
FINAL_STATES = ("succeeded", "failed", "cancelled")
REQUESTS = ("cancel", "stop", "pause")


class Job(Base):
    """State, reason and requested action are three columns: what is, why, and what someone asked for."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(f"state IN {JOB_STATES}", name="state"),
        CheckConstraint(f"requested IN {REQUESTS}", name="requested"),
        Index("ix_job_state_next_ring_at", "state", "next_ring_at"),
        Index("ix_job_kind", "kind"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    reason: Mapped[str | None]
    requested: Mapped[str | None]
    spec: Mapped[dict[str, Any]]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    model_name: Mapped[str | None]
    """The name under which the result is to be registered."""

    fence: Mapped[int] = mapped_column(default=0)
    """Rises with each claim; a write of an older fence finds no row."""
    crashes: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    """After a crash: a bell that rings earlier is not answered."""
    next_ring_at: Mapped[datetime] = mapped_column(default=clock())
    rings: Mapped[int] = mapped_column(default=0)
    """Since it was last queued; the pause between two rings grows with it."""

    progress: Mapped[dict[str, Any] | None]
    latest: Mapped[dict[str, Any] | None]
    """The newest value of each metric."""
    events: Mapped[int] = mapped_column(default=0)
    """The number of the last event."""
    report: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]

    created_at: Mapped[datetime] = mapped_column(default=clock())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
