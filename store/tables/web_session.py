"""Sessions of browsers, and links that sign in once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

PURPOSES = ("session", "link")


class WebSession(Base):
    """A token that stands for an API key until either expires or is revoked.

    Only a hash of the token is stored; 256 random bits need no slow hash.
    """

    __tablename__ = "web_session"
    __table_args__ = (CheckConstraint(f"purpose IN {PURPOSES}", name="purpose"),)

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    #: `session`: in a cookie, valid until it expires. `link`: in a URL, valid once.
    purpose: Mapped[str]
    key_id: Mapped[str] = mapped_column(ForeignKey("api_key.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock())
    expires_at: Mapped[datetime] = mapped_column(index=True)
