"""Worker processes that run jobs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class Worker(Base):
    """One worker process; considered dead when its heartbeat is too old."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    slots: Mapped[int]
    #: Devices that it offers to one training; None if it does not say.
    devices: Mapped[int | None]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
