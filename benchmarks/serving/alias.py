"""Failed or wrong answers while an alias moves between two versions under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Final

from benchmarks.serving import images
from benchmarks.serving.service import Figure, Service
from benchmarks.serving.version_change import VersionChange
from tests.support.factories import png

MOVES: Final = 20
SECONDS_BETWEEN: Final = 0.5


def measure(service: Service) -> Iterable[Figure]:
    """Three versions, of which the alias means the first and the second in turn."""
    package = images.small_network(service.folder / "images")
    for _ in range(3):
        service.register(package, name="small")
    change = asyncio.run(_ask_and_move(service))
    third = sum(count for version, count in change.versions.items() if version not in (1, 2))
    message = f"of {change.total:,} answers, while it moved {MOVES} times"
    yield Figure(f"alias moved under {service.connections} connections: failed", f"{change.failed}", "0", message)
    yield Figure("answers from a third version", f"{third}", "0", change.describe_versions())
    yield Figure("the version before still answers for", f"{change.stale_seconds:.2f} s at most", "<= 1 s")


async def _ask_and_move(service: Service) -> VersionChange:
    change = VersionChange()
    await _move(service, change, 1)
    async with change.under_load(service, "/predict/small", png(200, side=28)):
        for number in range(MOVES):
            await asyncio.sleep(SECONDS_BETWEEN)
            await _move(service, change, 1 + (number + 1) % 2)
        await asyncio.sleep(SECONDS_BETWEEN)
    return change


async def _move(service: Service, change: VersionChange, version: int) -> None:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"version": version}).encode()
    path = "/api/v1/models/small/aliases/production"
    status, _, answer = await asyncio.to_thread(service.api.request, "PUT", path, headers=headers, body=body)
    assert status == 200, answer
    change.expect(version)
