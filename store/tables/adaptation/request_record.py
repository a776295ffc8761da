"""Records of answered requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class RequestRecord(Base):
    """One answered input that a watch has drawn."""

    __tablename__ = "request_record"
    __table_args__ = (
        Index("ix_request_record_model_name_id", "model_name", "id"),
        Index("ix_request_record_model_name_request_id", "model_name", "request_id"),
        Index("ix_request_record_model_name_is_checked", "model_name", "is_checked"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model_name: Mapped[str]
    version: Mapped[int]
    request_id: Mapped[str]
    #: Position of the input in its request, from 0.
    position: Mapped[int]
    #: Predicted class and its probability.
    label: Mapped[str]
    confidence: Mapped[float]
    #: Statistics of the input.
    statistics: Mapped[list[Any]]
    #: float32; None where the model has none.
    embedding: Mapped[bytes | None] = mapped_column()
    #: The input as JSON; None unless the watch keeps rows.
    input: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    bytes: Mapped[int]
    #: Whether the drift tests have read it.
    is_checked: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock())
