"""Deliveries of events: listed, claimed by a sender, finished, requested again."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import CursorResult, delete, func, select, update

from store.errors import Conflict, NotFound
from store.pagination import Page, newest_first
from store.tables import Webhook, WebhookDelivery, clock
from store.webhooks.event_types import TEST_EVENT
from store.webhooks.outbox import new_delivery
from store.webhooks.subscriptions import get as get_webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

#: Waits after each failed attempt, as the Standard Webhooks scheme recommends; then a delivery has failed.
BACKOFF_SECONDS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Part of a wait by which it varies, so that deliveries that failed together are not repeated together.
JITTER: Final = 0.1
#: Time after which another sender repeats an attempt whose sender has died.
CLAIM_SECONDS: Final = 60.0
#: Deliveries that one sender makes to one webhook at once, so that a slow one does not hold up the others.
MAX_PER_WEBHOOK: Final = 4
#: Due deliveries that are looked at in one round.
MAX_CANDIDATES: Final = 500
#: Status of an address that does not exist any more, and will not again.
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery, with all that is needed for it."""

    delivery_id: str
    webhook_id: str
    number: int
    url: str
    secret: str
    payload: str

    def __repr__(self) -> str:
        """Leave out the secret and the payload."""
        return f"Attempt({self.delivery_id}, {self.number})"


def listing(
    session: Session, webhook_id: str, *, limit: int, cursor: str | None, state: str | None = None
) -> Page[WebhookDelivery]:
    """List the deliveries of a webhook, newest first; raises `NotFound`."""
    get_webhook(session, webhook_id)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return newest_first(session, query, WebhookDelivery.id, limit=limit, cursor=cursor)


def get(session: Session, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Return a delivery of a webhook; raises `NotFound`."""
    delivery = session.get(WebhookDelivery, delivery_id, populate_existing=True)
    if delivery is None or delivery.webhook_id != webhook_id:
        raise NotFound("delivery", delivery_id)
    return delivery


def retry(session: Session, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Make a delivery due now, with all its attempts again.

    Raises `NotFound`, and `Conflict` for a webhook that is disabled.
    """
    _require_enabled(get_webhook(session, webhook_id))
    delivery = get(session, webhook_id, delivery_id)
    values = {"state": "pending", "next_attempt_at": clock(), "finished_at": None}
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery.id)
        .values(earlier_attempts=WebhookDelivery.attempts, **values)
    )
    return get(session, webhook_id, delivery_id)


def create_test(session: Session, webhook_id: str) -> WebhookDelivery:
    """Add the delivery of a test event; raises `NotFound` and `Conflict` as `retry`."""
    webhook = get_webhook(session, webhook_id)
    _require_enabled(webhook)
    delivery = new_delivery(webhook.id, TEST_EVENT, {"webhook": webhook.id})
    session.add(delivery)
    session.flush()
    session.refresh(delivery)
    return delivery


def has_due(session: Session) -> bool:
    """Return whether any delivery of an enabled webhook is due, without a lock."""
    due = select(WebhookDelivery.id).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
    return session.scalar(due.where(*_is_due(), Webhook.is_enabled).limit(1)) is not None


def claim_due(session: Session, *, limit: int, in_progress: Sequence[str] = ()) -> list[Attempt]:
    """Claim due deliveries for `CLAIM_SECONDS`, the longest due first.

    `in_progress` are the webhooks of the attempts that the sender makes already.
    """
    counts, attempts = Counter(in_progress), list[Attempt]()
    busy = [webhook_id for webhook_id, count in counts.items() if count >= MAX_PER_WEBHOOK]
    due = (
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.id.in_(_first_due(busy)), *_is_due())
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(MAX_CANDIDATES)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    )
    for delivery, webhook in session.execute(due.execution_options(populate_existing=True)):
        if len(attempts) >= limit:
            break
        if counts[webhook.id] >= MAX_PER_WEBHOOK:
            continue
        counts[webhook.id] += 1
        number = delivery.attempts + 1
        attempts.append(Attempt(delivery.id, webhook.id, number, webhook.url, webhook.secret, delivery.payload))
    if attempts:
        ids = [attempt.delivery_id for attempt in attempts]
        values = {"attempts": WebhookDelivery.attempts + 1, "next_attempt_at": clock(CLAIM_SECONDS)}
        session.execute(update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(**values))
    return attempts


def succeed(session: Session, attempt: Attempt, *, status: int) -> None:
    """Record a delivery that the receiver accepted."""
    values = {"state": "delivered", "last_status": status, "last_error": None, "finished_at": clock()}
    _finish(session, attempt, values)
    session.execute(update(Webhook).where(Webhook.id == attempt.webhook_id).values(failing_since=None))


def fail(
    session: Session,
    attempt: Attempt,
    *,
    error: str,
    disable_after_days: float,
    status: int | None = None,
    wait_seconds: float = 0.0,
) -> str | None:
    """Record a failed attempt: it is repeated later, or was the last.

    Returns the reason if the webhook is disabled: it has failed for `disable_after_days`, or the address is gone.
    `wait_seconds` is how long the receiver asks to wait.
    """
    delivery = session.get(WebhookDelivery, attempt.delivery_id, populate_existing=True, with_for_update=True)
    if delivery is None or delivery.attempts != attempt.number or delivery.state != "pending":
        return None
    values: dict[str, Any] = {"last_status": status, "last_error": error}
    index = delivery.attempts - delivery.earlier_attempts - 1
    if index >= len(BACKOFF_SECONDS):
        values |= {"state": "failed", "finished_at": clock()}
    else:
        wait = BACKOFF_SECONDS[index] * random.uniform(1 - JITTER, 1 + JITTER)
        values["next_attempt_at"] = clock(max(wait, min(wait_seconds, BACKOFF_SECONDS[-1])))
    _finish(session, attempt, values)
    return _note_failure(session, attempt.webhook_id, error, is_gone=status == GONE, days=disable_after_days)


def delete_old(session: Session, *, days: float) -> int:
    """Delete deliveries that ended some days ago; return their number."""
    old = WebhookDelivery.finished_at <= clock(-days * 86_400)
    result = session.execute(delete(WebhookDelivery).where(WebhookDelivery.state != "pending", old))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _is_due() -> tuple[ColumnElement[bool], ...]:
    return WebhookDelivery.state == "pending", WebhookDelivery.next_attempt_at <= clock()


def _first_due(busy: Sequence[str]) -> Select[str]:
    """Select the first due deliveries of each enabled webhook that is not busy.

    A long backlog of one webhook would otherwise be all that is looked at.
    """
    order = (WebhookDelivery.next_attempt_at, WebhookDelivery.id)
    number = func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=order).label("number")
    numbered = (
        select(WebhookDelivery.id, number)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(*_is_due(), Webhook.is_enabled, Webhook.id.not_in(busy))
        .subquery()
    )
    return select(numbered.c.id).where(numbered.c.number <= MAX_PER_WEBHOOK)


def _finish(session: Session, attempt: Attempt, values: dict[str, Any]) -> None:
    """Write the result of an attempt, unless another sender has repeated it meanwhile."""
    is_current = (
        WebhookDelivery.id == attempt.delivery_id,
        WebhookDelivery.attempts == attempt.number,
        WebhookDelivery.state == "pending",
    )
    session.execute(update(WebhookDelivery).where(*is_current).values(**values))


def _note_failure(session: Session, webhook_id: str, error: str, *, is_gone: bool, days: float) -> str | None:
    first = func.coalesce(Webhook.failing_since, clock())
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(failing_since=first))
    is_expired = Webhook.failing_since <= clock(-days * 86_400)
    query = select(Webhook.id).where(Webhook.id == webhook_id, Webhook.is_enabled)
    if session.scalar(query if is_gone else query.where(is_expired)) is None:
        return None
    reason = f"{error}; the address is gone" if is_gone else f"no delivery succeeded for {days:g} days; last: {error}"
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(is_enabled=False, disabled_reason=reason))
    return reason


def _require_enabled(webhook: Webhook) -> None:
    if not webhook.is_enabled:
        raise Conflict(f"{webhook.id} is disabled; enable it first, by is_enabled: true")
