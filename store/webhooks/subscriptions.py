"""Webhooks as a resource: created, listed, changed, deleted."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from store.errors import NotFound
from store.ids import new_id
from store.pagination import Page, newest_first
from store.tables import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of all secrets
SECRET_BYTES: Final = 32


def create(
    session: Session,
    *,
    url: str,
    events: Sequence[str],
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
) -> Webhook:
    """Create a webhook with a secret of its own."""
    webhook = Webhook(
        id=new_id("whk"),
        url=url,
        events=list(events),
        models=None if models is None else list(models),
        datasets=None if datasets is None else list(datasets),
        secret=SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
    )
    session.add(webhook)
    session.flush()
    session.refresh(webhook)
    return webhook


def get(session: Session, webhook_id: str) -> Webhook:
    """Return a webhook; raises `NotFound`."""
    webhook = session.get(Webhook, webhook_id, populate_existing=True)
    if webhook is None:
        raise NotFound("webhook", webhook_id)
    return webhook


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[Webhook]:
    """List webhooks, newest first."""
    return newest_first(session, select(Webhook), Webhook.id, limit=limit, cursor=cursor)


def change(session: Session, webhook_id: str, values: Mapping[str, Any]) -> Webhook:
    """Change columns of a webhook; enabling it forgets its failures. Raises `NotFound`."""
    webhook = get(session, webhook_id)
    for name, value in values.items():
        setattr(webhook, name, value)
    if values.get("is_enabled"):
        webhook.disabled_reason = webhook.failing_since = None
    session.flush()
    return webhook


def delete(session: Session, webhook_id: str) -> None:
    """Delete a webhook with its deliveries; raises `NotFound`."""
    session.delete(get(session, webhook_id))
    session.flush()
