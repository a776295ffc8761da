"""Failed or wrong answers while an alias moves between two versions under load."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.serving import images
from benchmarks.serving.caller import calling
from benchmarks.serving.service import Figure, Service
from tests.support.factories import png

MOVES: Final = 20
SECONDS_BETWEEN: Final = 0.5


@dataclass
class _Responses:
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    #: Longest after a move that the version before it answered what was asked after the move.
    stale_seconds: float = 0.0
    expected: int = 1
    moved_at: float = 0.0


def measure(service: Service) -> Iterable[Figure]:
    """Three versions, of which the alias means the first and the second in turn."""
    package = images.small_network(service.folder / "images")
    for _ in range(3):
        service.register(package, name="small")
    responses = asyncio.run(_ask_and_move(service))
    failed = sum(count for status, count in responses.statuses.items() if status != 200)
    third = sum(count for version, count in responses.versions.items() if version not in (1, 2))
    message = f"of {sum(responses.statuses.values()):,} answers, while it moved {MOVES} times"
    yield Figure(f"alias moved under {service.connections} connections: failed", f"{failed}", "0", message)
    counted = ", ".join(f"version {version}: {count:,}" for version, count in sorted(responses.versions.items()))
    yield Figure("answers from a third version", f"{third}", "0", counted)
    yield Figure("the version before still answers for", f"{responses.stale_seconds:.2f} s at most", "<= 1 s")


async def _ask_and_move(service: Service) -> _Responses:
    responses = _Responses()
    await _move(service, responses, 1)
    callers = [asyncio.create_task(_caller(service, responses)) for _ in range(service.connections)]
    for number in range(MOVES):
        await asyncio.sleep(SECONDS_BETWEEN)
        await _move(service, responses, 1 + (number + 1) % 2)
    await asyncio.sleep(SECONDS_BETWEEN)
    for caller in callers:
        caller.cancel()
    for ended in await asyncio.gather(*callers, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            responses.statuses[0] += 1
    return responses


async def _move(service: Service, responses: _Responses, version: int) -> None:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"version": version}).encode()
    path = "/api/v1/models/small/aliases/production"
    status, _, answer = await asyncio.to_thread(service.api.request, "PUT", path, headers=headers, body=body)
    assert status == 200, answer
    responses.expected, responses.moved_at = version, time.monotonic()


async def _caller(service: Service, responses: _Responses) -> None:
    """Ask over one connection, one after the other, until cancelled; raises where the connection ends."""
    body = png(200, side=28)
    async with calling(service.api.port, service.api.key) as caller:
        while True:
            requested_at = time.monotonic()
            answer = await caller.ask("/predict/small", body, "image/png")
            responses.statuses[answer.status] += 1
            version = answer.body.get("version")
            responses.versions[version] += 1
            if version != responses.expected and requested_at > responses.moved_at:
                responses.stale_seconds = max(responses.stale_seconds, time.monotonic() - responses.moved_at)
