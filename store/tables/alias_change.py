"""The history of aliases."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class AliasChange(Base):
    """One move of an alias; `version` is None if the alias was removed."""

    __tablename__ = "alias_change"

    id: Mapped[str] = mapped_column(primary_key=True)
    model_name: Mapped[str] = mapped_column(index=True)
    alias: Mapped[str]
    version: Mapped[int | None]
    changed_at: Mapped[datetime] = mapped_column(default=clock())
