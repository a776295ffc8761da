"""API keys, and the tokens of browsers that stand for one.

The database holds only hashes.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import and_, delete, or_, select, update

from store.errors import Conflict, NotFound
from store.ids import new_id
from store.pagination import Page, newest_first
from store.tables import SCOPES, ApiKey, RetiredSecret, WebSession, clock

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

#: `session`: in a cookie, valid until it expires. `link`: in a URL, valid once.
Purpose = Literal["session", "link"]
#: What a key may do; each scope includes those before it.
KeyScope = Literal["predict", "train", "admin"]

SECRET_BYTES = 32
LAST_USED_RESOLUTION_SECONDS = 60.0

_RANKS: Final = {scope: rank for rank, scope in enumerate(SCOPES)}


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """Permissions of a key."""

    key_id: str
    scope: str = "admin"
    #: Patterns of the names of models that it may use; None for all.
    models: tuple[str, ...] | None = None
    #: None for no limit.
    requests_per_minute: int | None = None

    def includes(self, scope: str) -> bool:
        """Return whether the key may do what needs a scope."""
        return _RANKS[self.scope] >= _RANKS[scope]

    def allows_model(self, name: str) -> bool:
        """Return whether the key may use the model of this name."""
        return matches(name, self.models)

    @classmethod
    def of(cls, key: ApiKey) -> KeyAccess:
        """Convert a row."""
        models = None if key.models is None else tuple(key.models)
        return cls(key.id, key.scope, models, key.requests_per_minute)


def matches(name: str, patterns: Sequence[str] | None) -> bool:
    """Return whether a name matches one of the patterns.

    In them `*` is any text. None matches all names.
    """
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def create(
    session: Session,
    *,
    name: str,
    scope: KeyScope = "admin",
    models: Sequence[str] | None = None,
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
    max_jobs: int | None = None,
    cpu_seconds_per_day: int | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; return it with its secret, which cannot be read again."""
    secret = _new_secret()
    key = ApiKey(
        id=new_id("key"),
        name=name,
        secret_sha256=_hash(secret),
        scope=scope,
        models=None if models is None else list(models),
        requests_per_minute=requests_per_minute,
        expires_at=expires_at,
        max_jobs=max_jobs,
        cpu_seconds_per_day=cpu_seconds_per_day,
    )
    return _add(session, key), secret


def ensure(session: Session, secret: str, *, name: str) -> ApiKey | None:
    """Return the key of this secret, creating it if it is new.

    For the first key, which the operator chooses. None if the secret is no longer valid.
    """
    is_known = select(ApiKey.id).where(ApiKey.secret_sha256 == _hash(secret))
    is_retired = select(RetiredSecret.key_id).where(RetiredSecret.secret_sha256 == _hash(secret))
    if session.scalar(is_known) is None and session.scalar(is_retired) is None:
        return _add(session, ApiKey(id=new_id("key"), name=name, secret_sha256=_hash(secret)))
    return find(session, secret)


def find(session: Session, secret: str) -> ApiKey | None:
    """Return the key of a secret, or None if it is not valid.

    It is looked up by hash, so that timing reveals nothing about the secret.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == _hash(secret), _is_live()))
    if key is not None:
        return key
    retired = select(ApiKey).join(RetiredSecret, RetiredSecret.key_id == ApiKey.id)
    in_grace = and_(RetiredSecret.secret_sha256 == _hash(secret), RetiredSecret.valid_until > clock())
    return session.scalar(retired.where(in_grace, _is_live()))


def verify(session: Session, secret: str) -> ApiKey | None:
    """Return what `find` returns, and record the use of the key."""
    key = find(session, secret)
    if key is not None:
        session.execute(
            update(ApiKey)
            .where(ApiKey.id == key.id)
            .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < clock(-LAST_USED_RESOLUTION_SECONDS)))
            .values(last_used_at=clock())
        )
    return key


def has_live(session: Session) -> bool:
    """Return whether there is a key that is neither expired nor revoked."""
    return session.scalar(select(ApiKey.id).where(_is_live()).limit(1)) is not None


def listing(session: Session, *, limit: int, cursor: str | None) -> Page[ApiKey]:
    """List keys, newest first, including revoked ones."""
    return newest_first(session, select(ApiKey), ApiKey.id, limit=limit, cursor=cursor)


def names(session: Session, key_ids: Collection[str]) -> dict[str, str]:
    """Return the names of keys by id, including those of revoked ones."""
    rows = session.execute(select(ApiKey.id, ApiKey.name).where(ApiKey.id.in_(key_ids))).all()
    return {row[0]: row[1] for row in rows}


def change_limits(session: Session, key_id: str, **limits: int | None) -> ApiKey:
    """Set `requests_per_minute`, `max_jobs` or `cpu_seconds_per_day` of a key; None removes a limit.

    Raises `NotFound`, and `Conflict` for a key that is expired or revoked.
    """
    key = _lock_live(session, key_id, "changed")
    for name, value in limits.items():
        setattr(key, name, value)
    session.flush()
    return key


def _lock_live(session: Session, key_id: str, participle: str) -> ApiKey:
    key = session.get(ApiKey, key_id, populate_existing=True, with_for_update=True)
    if key is None:
        raise NotFound("key", key_id)
    if session.scalar(select(ApiKey.id).where(ApiKey.id == key_id, _is_live())) is None:
        state = "revoked" if key.revoked_at else "expired"
        raise Conflict(f"{key_id} is {state} and cannot be {participle}; create another key")
    return key


def rotate(session: Session, key_id: str, *, grace_seconds: float) -> tuple[ApiKey, str]:
    """Give a key another secret; the present one is valid for `grace_seconds` more.

    Secrets before it end at once, and so do sessions of browsers. Raises `NotFound`, and `Conflict` for a key that is
    expired or revoked.
    """
    key = _lock_live(session, key_id, "rotated")
    session.execute(update(RetiredSecret).where(RetiredSecret.key_id == key_id).values(valid_until=clock()))
    session.add(RetiredSecret(secret_sha256=key.secret_sha256, key_id=key_id, valid_until=clock(grace_seconds)))
    session.execute(delete(WebSession).where(WebSession.key_id == key_id))
    secret = _new_secret()
    key.secret_sha256 = _hash(secret)
    session.flush()
    return key, secret


def has_secret(session: Session, key_id: str, secret: str) -> bool:
    """Return whether a text is the present secret of a key."""
    query = select(ApiKey.id).where(ApiKey.id == key_id, ApiKey.secret_sha256 == _hash(secret))
    return session.scalar(query) is not None


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


def verify_session(session: Session, token: str) -> ApiKey | None:
    """Return the key of a session.

    None if the session is unknown or expired, or its key is.
    """
    return session.scalar(
        select(ApiKey)
        .join(WebSession, ApiKey.id == WebSession.key_id)
        .where(WebSession.token_sha256 == _hash(token), WebSession.purpose == "session")
        .where(WebSession.expires_at > clock(), _is_live())
    )


def consume_link(session: Session, token: str) -> str | None:
    """Return the key id of a link, and delete the link.

    None as in `verify_session`.
    """
    row = session.execute(
        delete(WebSession)
        .where(WebSession.token_sha256 == _hash(token), WebSession.purpose == "link")
        .where(WebSession.expires_at > clock())
        .where(WebSession.key_id.in_(select(ApiKey.id).where(_is_live())))
        .returning(WebSession.key_id)
    ).first()
    return None if row is None else str(row[0])


def end_session(session: Session, token: str) -> None:
    """Delete a session; no error if there is none."""
    session.execute(delete(WebSession).where(WebSession.token_sha256 == _hash(token)))


def _is_live() -> ColumnElement[bool]:
    return and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock()))


def _add(session: Session, key: ApiKey) -> ApiKey:
    session.add(key)
    session.flush()
    session.refresh(key)
    return key


def _new_secret() -> str:
    return f"plinth_{secrets.token_hex(6)}_{secrets.token_urlsafe(SECRET_BYTES)}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
