"""Watches of models: what is recorded of their requests, and what follows from drift."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

KEEP_MODES = ("off", "sketches", "rows")


class Watch(Base):
    """The watch of one model name."""

    __tablename__ = "watch"

    model_name: Mapped[str] = mapped_column(primary_key=True)
    #: Another one for each new watch, so that late records of an earlier one are dropped.
    id: Mapped[str] = mapped_column(unique=True)
    keep: Mapped[str]
    fraction: Mapped[float]
    #: The other options of the request, with defaults.
    options: Mapped[dict[str, Any]]
    #: Drift, the present round of the loop, and events.
    state: Mapped[dict[str, Any]]
    #: Requests, errors, records and drops by version.
    figures: Mapped[dict[str, Any]]
    #: State of the drift tests; None before the first.
    monitors: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=clock())
    updated_at: Mapped[datetime] = mapped_column(default=clock())
