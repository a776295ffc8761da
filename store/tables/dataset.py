"""Datasets: immutable, validated versions of what was uploaded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

DATASET_STATES = ("importing", "validating", "ready", "rejected")


class Dataset(Base):
    """`name` again makes the next `version`; nothing changes once it is ready."""

    __tablename__ = "dataset"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint(f"state IN {DATASET_STATES}", name="state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    state: Mapped[str] = mapped_column(default="importing")
    task: Mapped[str | None]
    format: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]
    report: Mapped[dict[str, Any] | None]
    key: Mapped[str | None]
    """Where the canonical form lies among the blobs."""
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    deleted_at: Mapped[datetime | None]
    """The row stays, so that its number is never given out again and what came of it keeps its lineage."""
