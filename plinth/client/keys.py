"""API keys: create, list, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from plinth.client.transport import API, Transport
from plinth.client.types import Key, build


class Keys:
    """`plinth.keys`."""

    def __init__(self, connection: Transport) -> None:
        self._connection = connection

    def create(self, name: str) -> Key:
        """A new key; its `secret` is in this answer and nowhere else afterwards."""
        # Never sent twice: the answer to a repetition would not have the secret any more.
        return build(Key, self._connection.send("POST", f"{API}/keys", json={"name": name}).json())

    def list(self) -> Sequence[Key]:
        """All keys, newest first, without their secrets."""
        return self._connection.listing(Key, f"{API}/keys", limit=None)

    def revoke(self, key_id: str) -> None:
        """From now on the service refuses it."""
        self._connection.delete(f"{API}/keys/{key_id}")
