"""Settings and connections that a process reads once."""

from __future__ import annotations

from store import database as store_database
from store import notifications
from store.blobs import blobs
from store.settings import store_settings


def forget_settings() -> None:
    """Clear all cached settings and connections, so that they are read again."""
    if store_database.engine.cache_info().currsize:
        store_database.engine().dispose()
    for cached in (store_settings, store_database.engine, store_database.sessions, blobs, notifications.producer_app):
        cached.cache_clear()
