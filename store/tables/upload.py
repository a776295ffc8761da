"""Uploads: files that clients send."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Upload(Base):
    """One upload.

    Its bytes are in the incoming folder, where the file size is the offset, then in the blobs.
    """

    __tablename__ = "upload"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    #: Announced length in bytes.
    length: Mapped[int] = mapped_column(BigInteger)
    #: The header `Upload-Metadata` of the tus protocol, as the client sent it.
    metadata_: Mapped[str] = mapped_column("metadata")
    completed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    expires_at: Mapped[datetime]
