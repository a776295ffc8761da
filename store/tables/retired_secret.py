"""Secrets that keys had before they were rotated."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base


class RetiredSecret(Base):
    """A former secret of a key, as a hash.

    The row stays when it is no longer valid, so that a start of the service does not make a key of it again.
    """

    __tablename__ = "retired_secret"

    secret_sha256: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_key.id"), index=True)
    #: End of the grace period, in which both secrets are valid.
    valid_until: Mapped[datetime]
