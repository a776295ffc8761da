"""Model aliases: movable names of model versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Alias(Base):
    """One alias; `revision` increases with each move and is part of the entity tag."""

    __tablename__ = "alias"

    model_name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=clock())
