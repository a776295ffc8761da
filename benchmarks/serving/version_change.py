"""Answers under load while the version behind a name changes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from benchmarks.serving.caller import calling
from benchmarks.serving.service import Service


@dataclass
class VersionChange:
    """Counts of answers by status and version, and the version that is right."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    #: Longest after a change that a request sent after it got another version.
    stale_seconds: float = 0.0
    _expected: int = 0
    _changed_at: float = float("inf")

    @property
    def failed(self) -> int:
        """Requests without an answer of status 200."""
        return sum(count for status, count in self.statuses.items() if status != HTTPStatus.OK)

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.statuses.values())

    def describe_versions(self) -> str:
        """Return how many answers each version gave."""
        return ", ".join(f"version {version}: {count:,}" for version, count in sorted(self.versions.items()))

    def expect(self, version: int) -> None:
        """Expect this version in answers to requests from now on."""
        self._expected, self._changed_at = version, time.monotonic()

    @asynccontextmanager
    async def under_load(self, service: Service, path: str, image: bytes) -> AsyncIterator[None]:
        """Ask over all connections of the benchmark for as long as the context lasts."""
        callers = [asyncio.create_task(self._ask(service, path, image)) for _ in range(service.connections)]
        yield
        for caller in callers:
            caller.cancel()
        for ended in await asyncio.gather(*callers, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                self.statuses[0] += 1

    async def _ask(self, service: Service, path: str, image: bytes) -> None:
        """Ask over one connection, one after the other, until cancelled; raises where the connection ends."""
        async with calling(service.api.port, service.api.key) as caller:
            while True:
                requested_at = time.monotonic()
                answer = await caller.ask(path, image, "image/png")
                self.statuses[answer.status] += 1
                version = answer.body.get("version")
                self.versions[version] += 1
                if version != self._expected and requested_at > self._changed_at:
                    self.stale_seconds = max(self.stale_seconds, time.monotonic() - self._changed_at)
