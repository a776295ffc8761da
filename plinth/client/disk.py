"""Disk methods of the client: measure, clean."""

from __future__ import annotations

from collections.abc import Sequence

from plinth.client.transport import API, Transport
from plinth.client.types import DiskCleaned, DiskSpace, build


class Disk:
    """Disk space of a service, at `plinth.disk`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def measure(self, *, older_than_days: float | None = None) -> DiskSpace:
        """Measure the space by kind, and what `clean` would delete."""
        return build(DiskSpace, self._transport.get(f"{API}/disk", older_than_days=older_than_days))

    def clean(self, kinds: Sequence[str] | None = None, *, older_than_days: float | None = None) -> DiskCleaned:
        """Delete what is of no use any more; `older_than_days` replaces the retention of the settings."""
        body = {"kinds": kinds, "older_than_days": older_than_days}
        return build(DiskCleaned, self._transport.send("POST", f"{API}/disk/clean", json=body, retry=True).json())
