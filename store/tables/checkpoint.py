"""Checkpoints: where a job can go on from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Checkpoint(Base):
    """Files that are already published under `key`."""

    __tablename__ = "checkpoint"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    fence: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock())
