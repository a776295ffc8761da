"""Events of jobs, in order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

_IS_LOG = text("kind = 'log'")


class Event(Base):
    """One event; append-only. `number` counts from 1 within its job."""

    __tablename__ = "event"
    #: Log lines are few among the events of a job.
    __table_args__ = (Index("ix_event_log", "job_id", "number", sqlite_where=_IS_LOG, postgresql_where=_IS_LOG),)

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock())
