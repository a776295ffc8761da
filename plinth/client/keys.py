"""API key methods of the client: create, list, change, rotate, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Key, build


class Keys:
    """API keys of a service, at `plinth.keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        scope: str | None = None,
        models: Sequence[str] | None = None,
        requests_per_minute: int | None = None,
        max_jobs: int | None = None,
        cpu_seconds_per_day: int | None = None,
        expires_at: datetime | None = None,
    ) -> Key:
        """Create an API key; only this response contains its `secret`.

        Args:
            name: Purpose of the key.
            scope: `predict`, `train` or `admin` (the default); each includes those before it.
            models: Names of the models that a key of the scope `predict` may use, with `*` for any text.
            requests_per_minute: Requests that the key may send a minute.
            max_jobs: Jobs of the key that may be queued or running at once.
            cpu_seconds_per_day: CPU time of trainings that the key starts within a day.
            expires_at: When the key ends, with a time zone.
        """
        body: dict[str, Any] = {
            "name": name,
            "scope": scope,
            "models": None if models is None else list(models),
            "requests_per_minute": requests_per_minute,
            "max_jobs": max_jobs,
            "cpu_seconds_per_day": cpu_seconds_per_day,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        # Never retried: the response to a repeated request would not contain the secret.
        return build(Key, self._transport.send("POST", f"{API}/keys", json=drop_none(body)).json())

    def list(self) -> Sequence[Key]:
        """List all keys, newest first, without their secrets."""
        return self._transport.list_items(Key, f"{API}/keys", limit=None)

    def update(self, key_id: str, **limits: int | None) -> Key:
        """Change `requests_per_minute`, `max_jobs` or `cpu_seconds_per_day`; None removes a limit."""
        return build(Key, self._transport.send("PATCH", f"{API}/keys/{key_id}", json=limits).json())

    def rotate(self, key_id: str, *, grace_seconds: float | None = None) -> Key:
        """Give a key another `secret`.

        The present one stays valid for the grace period, by default a day.
        """
        body = drop_none({"grace_seconds": grace_seconds})
        # Never retried, as `create`.
        return build(Key, self._transport.send("POST", f"{API}/keys/{key_id}/rotate", json=body).json())

    def revoke(self, key_id: str) -> None:
        """Revoke a key; the service then rejects it with 401."""
        self._transport.delete(f"{API}/keys/{key_id}")
