"""Cache of verified API keys and sessions, by a digest of their secret."""

from __future__ import annotations

import hashlib
from typing import Final

from anyio import to_thread
from sqlalchemy.exc import DBAPIError

from app.ttl_cache import TtlCache
from store import api_keys
from store.api_keys import KeyAccess
from store.database import reading, transaction


class ApiKeyCache(TtlCache[bytes, KeyAccess]):
    """Caches what API keys may do, by secret.

    A secret is verified again every `seconds`, so that a revoked key is rejected. Stores SHA-256 digests, never the
    secrets themselves.
    """

    MAX_KEYS: Final = 1024

    def __init__(self, *, seconds: float) -> None:
        super().__init__(
            _verify,
            ttl_seconds=seconds,
            max_entries=self.MAX_KEYS,
            fingerprint=lambda secret: hashlib.sha256(secret).digest(),
            ignored_errors=(DBAPIError,),
        )
        #: The same for the tokens of sessions.
        self._sessions: TtlCache[bytes, KeyAccess] = TtlCache(
            _verify_session,
            ttl_seconds=seconds,
            max_entries=self.MAX_KEYS,
            fingerprint=lambda token: hashlib.sha256(token).digest(),
            ignored_errors=(DBAPIError,),
        )

    def clear(self) -> None:
        """Verify all keys and sessions again at their next use."""
        super().clear()
        self._sessions.clear()

    async def find_session(self, token: str) -> KeyAccess | None:
        """Return what the key of a session may do; None without a valid session."""
        try:
            return await self._sessions.get_fresh(token.encode())
        except LookupError:
            return None

    async def find(self, secret: str) -> KeyAccess | None:
        """Return what a key may do; None for an unknown, expired or revoked secret."""
        try:
            return await self.get_fresh(secret.encode())
        except LookupError:
            return None


async def _verify(secret: bytes) -> KeyAccess:
    """Return what a key may do; raises `LookupError` for an unknown, expired or revoked secret."""
    return await to_thread.run_sync(_access_by_secret, secret.decode())


async def _verify_session(token: bytes) -> KeyAccess:
    """Return what the key of a session may do; raises `LookupError` if unknown or expired."""
    return await to_thread.run_sync(_access_by_session, token.decode())


def _access_by_session(token: str) -> KeyAccess:
    with reading() as session:
        key = api_keys.verify_session(session, token)
        if key is None:
            raise LookupError("no such session")
        return KeyAccess.of(key)


def _access_by_secret(secret: str) -> KeyAccess:
    with transaction() as session:
        key = api_keys.verify(session, secret)
        if key is None:
            raise LookupError("no such API key")
        return KeyAccess.of(key)
