"""API keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class ApiKey(Base):
    """One API key.

    Only a hash of the secret is stored; 256 random bits need no slow hash.
    """

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=clock())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
