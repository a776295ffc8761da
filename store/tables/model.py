"""Models: registered, named, versioned packages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Model(Base):
    """One version of a model; created in the transaction that ends its job, then immutable."""

    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        UniqueConstraint("job_id"),
        Index("ix_model_is_latest_id", "is_latest", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    #: Whether it is the newest version of its name that is not deleted: lists show that one.
    is_latest: Mapped[bool] = mapped_column(default=True, server_default=true())
    task: Mapped[str | None]
    #: Slot -> name of the architecture.
    architectures: Mapped[dict[str, Any]]
    parameters: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]]
    labels: Mapped[list[Any] | None]
    formats: Mapped[list[Any]]
    #: `[{"path", "bytes", "sha256"}]`.
    files: Mapped[list[Any]]
    #: Blob key of the package.
    key: Mapped[str]
    manifest_sha256: Mapped[str]
    #: License of the model itself: an SPDX identifier, or free text. Those of its data and base are in their rows.
    license: Mapped[str | None]
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"))
    created_at: Mapped[datetime] = mapped_column(default=clock())
    #: The row stays, so that its version number is not reused and the lineage of other models remains.
    deleted_at: Mapped[datetime | None]
