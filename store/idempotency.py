"""Responses stored for a day, so that a repeated request acts once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete

from store.database import lock
from store.tables import IdempotentAnswer, clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

RETENTION_SECONDS = 24 * 3600.0


def find(session: Session, key: str) -> IdempotentAnswer | None:
    """Return the stored response to this key, or None.

    A concurrent request with the same key waits until this transaction ends.
    """
    lock(session, f"idempotency {key}")
    session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < clock(-RETENTION_SECONDS)))
    return session.get(IdempotentAnswer, key)


def save(session: Session, key: str, *, fingerprint: str, status: int, headers: Mapping[str, str], body: str) -> None:
    """Store a response in the transaction that acts: both are committed, or neither.

    A second writer of the same key fails at its flush with an `IntegrityError`.
    """
    response = IdempotentAnswer(key=key, fingerprint=fingerprint, status=status, headers=dict(headers), body=body)
    session.add(response)
