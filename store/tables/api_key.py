"""API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

#: What a key may do; each scope includes those before it.
SCOPES = ("predict", "train", "admin")


class ApiKey(Base):
    """One API key.

    Only a hash of the secret is stored; 256 random bits need no slow hash.
    """

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint(f"scope IN {SCOPES}", name="scope"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    scope: Mapped[str] = mapped_column(default="admin", server_default="admin")
    #: Patterns of the names of models that it may use, such as `digits*`; None for all.
    models: Mapped[list[Any] | None]
    requests_per_minute: Mapped[int | None]
    #: Jobs that may be queued or running at once; None for `PLINTH_KEY_MAX_JOBS`.
    max_jobs: Mapped[int | None]
    #: CPU time of trainings that start within a day; None for `PLINTH_KEY_CPU_SECONDS_PER_DAY`.
    cpu_seconds_per_day: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    last_used_at: Mapped[datetime | None]
    #: None for a key without an end.
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
