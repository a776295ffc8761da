"""API keys, and the tokens of browsers that stand for one.

The database holds only hashes.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, or_, select, update

from store.errors import NotFound
from store.ids import new_id
from store.pagination import Page, newest_first
from store.tables import ApiKey, WebSession, clock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: `session`: in a cookie, valid until it expires. `link`: in a URL, valid once.
Purpose = Literal["session", "link"]

SECRET_BYTES = 32
LAST_USED_RESOLUTION_SECONDS = 60.0


def create(session: Session, *, name: str) -> tuple[ApiKey, str]:
    """Create a key; return it with its secret, which cannot be read again."""
    secret = f"plinth_{secrets.token_hex(6)}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return _add(session, secret, name), secret


def ensure(session: Session, secret: str, *, name: str) -> ApiKey:
    """Return the key of this secret, creating it if it is new.

    For the first key, which the operator chooses.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == _hash(secret)))
    return key or _add(session, secret, name)


def verify(session: Session, secret: str) -> ApiKey | None:
    """Return the key of a secret, or None if unknown or revoked.

    It is looked up by hash, so that timing reveals nothing about the secret.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == _hash(secret), ApiKey.revoked_at.is_(None)))
    if key is not None:
        session.execute(
            update(ApiKey)
            .where(ApiKey.id == key.id)
            .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < clock(-LAST_USED_RESOLUTION_SECONDS)))
            .values(last_used_at=clock())
        )
    return key


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[ApiKey]:
    """List keys, newest first, including revoked ones."""
    return newest_first(session, select(ApiKey), ApiKey.id, limit=limit, cursor=cursor)


def revoke(session: Session, key_id: str) -> None:
    """Revoke a key; no error if it is revoked already. Raises `NotFound`."""
    if session.get(ApiKey, key_id) is None:
        raise NotFound("key", key_id)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=clock()))


def create_token(session: Session, *, key_id: str, purpose: Purpose, seconds: float) -> str:
    """Create a token that is valid for `seconds`, and delete expired ones.

    It cannot be read again.
    """
    session.execute(delete(WebSession).where(WebSession.expires_at <= clock()))
    token = secrets.token_urlsafe(SECRET_BYTES)
    row = WebSession(token_sha256=_hash(token), purpose=purpose, key_id=key_id, expires_at=clock(seconds))
    session.add(row)
    session.flush()
    return token


def verify_session(session: Session, token: str) -> str | None:
    """Return the id of the key of a session.

    None if the session is unknown or expired, or its key is revoked.
    """
    return session.scalar(
        select(WebSession.key_id)
        .join(ApiKey, ApiKey.id == WebSession.key_id)
        .where(WebSession.token_sha256 == _hash(token), WebSession.purpose == "session")
        .where(WebSession.expires_at > clock(), ApiKey.revoked_at.is_(None))
    )


def consume_link(session: Session, token: str) -> str | None:
    """Return the key id of a link, and delete the link.

    None as in `verify_session`.
    """
    row = session.execute(
        delete(WebSession)
        .where(WebSession.token_sha256 == _hash(token), WebSession.purpose == "link")
        .where(WebSession.expires_at > clock())
        .where(WebSession.key_id.in_(select(ApiKey.id).where(ApiKey.revoked_at.is_(None))))
        .returning(WebSession.key_id)
    ).first()
    return None if row is None else str(row[0])


def end_session(session: Session, token: str) -> None:
    """Delete a session; no error if there is none."""
    session.execute(delete(WebSession).where(WebSession.token_sha256 == _hash(token)))


def _add(session: Session, secret: str, name: str) -> ApiKey:
    key = ApiKey(id=new_id("key"), name=name, secret_sha256=_hash(secret))
    session.add(key)
    session.flush()
    session.refresh(key)
    return key


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
