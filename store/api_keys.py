"""API keys: made, listed, checked and revoked. The database holds only their hashes."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import or_, select, update

from store.errors import NotFound
from store.ids import new_id
from store.pagination import Page, newest_first
from store.tables import ApiKey, clock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SECRET_BYTES = 32
USE_NOTED_EVERY_SECONDS = 60.0


def create(session: Session, *, name: str) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once."""
    secret = f"plinth_{secrets.token_hex(6)}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return _add(session, secret, name), secret


def ensure(session: Session, secret: str, *, name: str) -> ApiKey:
    """The key of this secret, made if it is new; for the first one, which the operator chooses."""
    found = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == _hash(secret)))
    return found or _add(session, secret, name)


def verify(session: Session, secret: str) -> ApiKey | None:
    """The key, if it is one and still good. Looked up by hash, so that timing tells nothing of the secret."""
    key = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == _hash(secret), ApiKey.revoked_at.is_(None)))
    if key is not None:
        session.execute(
            update(ApiKey)
            .where(ApiKey.id == key.id)
            .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < clock(-USE_NOTED_EVERY_SECONDS)))
            .values(last_used_at=clock())
        )
    return key


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[ApiKey]:
    """Newest first, revoked ones among them."""
    return newest_first(session, select(ApiKey), ApiKey.id, limit=limit, cursor=cursor)


def revoke(session: Session, key_id: str) -> None:
    """From now on it opens nothing; revoked twice is revoked. Raises `NotFound`."""
    if session.get(ApiKey, key_id) is None:
        raise NotFound("key", key_id)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=clock()))


def _add(session: Session, secret: str, name: str) -> ApiKey:
    key = ApiKey(id=new_id("key"), name=name, secret_sha256=_hash(secret))
    session.add(key)
    session.flush()
    session.refresh(key)
    return key


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
