"""Datasets: immutable, validated versions of uploaded data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

DATASET_STATES = ("importing", "validating", "ready", "rejected")


class Dataset(Base):
    """One version of a dataset; immutable once it is ready."""

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
    #: Blob key of the canonical form.
    key: Mapped[str | None]
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[dict[str, Any] | None]
    #: `{"dataset": "name@version", "operations": [...]}` of a dataset that was derived from another.
    origin: Mapped[dict[str, Any] | None]
    #: SPDX identifier, or free text.
    license: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    #: The row stays, so that its version number is not reused and the lineage of its models remains.
    deleted_at: Mapped[datetime | None]
