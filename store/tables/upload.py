"""Uploads: files on their way in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Upload(Base):
    """The bytes lie in the incoming folder, whose file size is the offset; complete ones among the blobs."""

    __tablename__ = "upload"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    length: Mapped[int] = mapped_column(BigInteger)
    """Bytes, as announced."""
    metadata_: Mapped[str] = mapped_column("metadata")
    """As the client sent it (tus `Upload-Metadata`)."""
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    expires_at: Mapped[datetime]
