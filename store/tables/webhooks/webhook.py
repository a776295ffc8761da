"""Webhooks: addresses to which events are sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import true
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock


class Webhook(Base):
    """One address, with the events that it gets.

    The secret is stored as it is: without it nothing can be signed.
    """

    __tablename__ = "webhook"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    #: Types of events, or `job.*` for a group.
    events: Mapped[list[Any]]
    #: Patterns of names; events about other models and datasets are not sent. None: all.
    models: Mapped[list[Any] | None]
    datasets: Mapped[list[Any] | None]
    secret: Mapped[str]
    is_enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    #: Reason for which the service disabled it.
    disabled_reason: Mapped[str | None]
    #: Time of the first failure since the last success.
    failing_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
