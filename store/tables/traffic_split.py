"""Split traffic of model aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class TrafficSplit(Base):
    """A candidate beside the version of an alias, with figures of both."""

    __tablename__ = "traffic_split"

    model_name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    #: Another one for each candidate and mode, so that late figures of an earlier split are not counted.
    id: Mapped[str] = mapped_column(unique=True)
    #: The candidate.
    version: Mapped[int]
    mode: Mapped[str]
    weight: Mapped[float]
    figures: Mapped[dict[str, Any]] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(default=clock())
