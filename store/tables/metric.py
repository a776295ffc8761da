"""Metric curves of jobs."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class MetricPoint(Base):
    """One point of a curve.

    A step that is repeated after a crash replaces its point.
    """

    __tablename__ = "metric"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    #: None if it was not a finite number.
    value: Mapped[float | None]
