"""Deliveries: events on their way to webhooks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.tables.base import Base, clock

DELIVERY_STATES = ("pending", "delivered", "failed")


class WebhookDelivery(Base):
    """One event for one webhook, written in the transaction of what happened.

    Its id is the `webhook-id` of all attempts.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint(f"state IN {DELIVERY_STATES}", name="state"),
        Index("ix_webhook_delivery_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_webhook_delivery_webhook_id_id", "webhook_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    #: Type of the event.
    type: Mapped[str]
    #: The body as it is signed and sent.
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    #: Attempts before the delivery was last requested by hand.
    earlier_attempts: Mapped[int] = mapped_column(default=0)
    #: While an attempt is made, the time at which another sender repeats it.
    next_attempt_at: Mapped[datetime] = mapped_column(default=clock())
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock())
    #: When it was delivered, or given up.
    finished_at: Mapped[datetime | None]
