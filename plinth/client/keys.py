"""API key methods of the client: create, list, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from plinth.client.transport import API, Transport
from plinth.client.types import Key, build


class Keys:
    """`plinth.keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str) -> Key:
        """Create an API key; only this response contains its `secret`."""
        # Never retried: the response to a repeated request would not contain the secret.
        return build(Key, self._transport.send("POST", f"{API}/keys", json={"name": name}).json())

    def list(self) -> Sequence[Key]:
        """List all keys, newest first, without their secrets."""
        return self._transport.list_items(Key, f"{API}/keys", limit=None)

    def revoke(self, key_id: str) -> None:
        """Revoke a key; the service then rejects it with 401."""
        self._transport.delete(f"{API}/keys/{key_id}")
