"""Models: registered, named, versioned packages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Model(Base):
    """One version. It is born in the transaction that ends its job, and never changes."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name", "version"), UniqueConstraint("job_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    task: Mapped[str | None]
    architectures: Mapped[dict[str, Any]]
    """Slot -> name."""
    parameters: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]]
    labels: Mapped[list[Any] | None]
    formats: Mapped[list[Any]]
    files: Mapped[list[Any]]
    """`[{"path", "bytes", "sha256"}]`."""
    key: Mapped[str]
    """Where the package lies among the blobs."""
    manifest_sha256: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"))
    created_at: Mapped[datetime] = mapped_column(default=clock())
    deleted_at: Mapped[datetime | None]
    """The row stays, so that its number is never given out again and what came of it keeps its lineage."""
