"""Answers kept so that a request sent twice acts once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class IdempotentAnswer(Base):
    """The first answer to an `Idempotency-Key`, kept for a day."""

    __tablename__ = "idempotent_answer"

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    """sha256 of method, path and body."""
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock())
