"""Feedback: true labels of inputs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Feedback(Base):
    """The true label of one input of a model."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("model_name", "input_sha256"),
        Index("ix_feedback_model_name_id", "model_name", "id"),
        Index("ix_feedback_model_name_bytes", "model_name", "bytes"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model_name: Mapped[str]
    input_sha256: Mapped[str]
    #: The input as JSON.
    input: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    #: Bytes of `input`, here so that a sum does not read them all.
    bytes: Mapped[int]
    label: Mapped[str]
    #: Request whose answer it is about, the version that answered, and its answer; None for an input of its own.
    request_id: Mapped[str | None]
    version: Mapped[int | None]
    predicted: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    updated_at: Mapped[datetime] = mapped_column(default=clock())
