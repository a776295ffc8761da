"""Answers kept for a day, so that a request sent twice acts once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete

from store.database import lock
from store.tables import IdempotentAnswer, clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

KEPT_SECONDS = 24 * 3600.0


def find(session: Session, key: str) -> IdempotentAnswer | None:
    """What was answered to this key; whoever sends it at the same time waits for this transaction's end."""
    lock(session, f"idempotency {key}")
    session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < clock(-KEPT_SECONDS)))
    return session.get(IdempotentAnswer, key)


def remember(
    session: Session, key: str, *, fingerprint: str, status: int, headers: Mapping[str, str], body: str
) -> None:
    """In the transaction that acts: both are kept, or neither. A second writer of the same key fails at its flush."""
    answer = IdempotentAnswer(key=key, fingerprint=fingerprint, status=status, headers=dict(headers), body=body)
    session.add(answer)
