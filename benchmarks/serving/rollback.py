"""Failed or wrong answers while a watch restores the earlier version under load."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.serving.caller import calling
from benchmarks.serving.service import Figure, Service
from tests.support.factories import png, register, shades

#: Wrong answers of the promoted version with feedback, by which the loop restores the earlier one.
WRONG_ANSWERS: Final = 30
SECONDS: Final = 3.0
OPTIONS: Final[dict[str, Any]] = {
    "drift": "auto",
    "gate": "auto",
    "then": "promote",
    "alias": "production",
    "dataset": None,
    "min_feedback": 100,
    "guard_hours": 24,
    "training": {},
    "max_rows": 10_000,
    "max_bytes": 2**28,
    "max_days": 30,
}


@dataclass
class _Responses:
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    #: When the alias named the earlier version again; infinity before.
    restored_at: float = float("inf")
    #: Longest after that that the promoted version answered a later request.
    stale_seconds: float = 0.0


def measure(service: Service) -> Iterable[Figure]:
    """Promote a wrong version under a guard, and let feedback restore the earlier one."""
    from tests.support import homes

    with homes.use_home(service.api.home):
        for bias in (0.0, 1e6):
            register(shades(service.folder / f"bias-{bias:g}", bias=bias))
        _promote()
        responses = asyncio.run(_ask_and_restore(service))
    failed = sum(count for status, count in responses.statuses.items() if status != 200)
    counted = ", ".join(f"version {version}: {count:,}" for version, count in sorted(responses.versions.items()))
    message = f"of {sum(responses.statuses.values()):,} answers; {counted}"
    yield Figure(
        f"version restored by its watch under {service.connections} connections: failed", f"{failed}", "0", message
    )
    yield Figure("the restored version answers after", f"{responses.stale_seconds:.2f} s at most", "<= 1 s")


def _promote() -> None:
    from store import models
    from store.adaptation import watches
    from store.database import transaction

    guard = {"version": 2, "earlier": 1, "since": datetime.now(UTC).isoformat(), "feedback_since": "", "expected": 0.9}
    with transaction() as session:
        models.set_alias(session, "shades", "production", 2)
        row = watches.put(session, "shades", keep="sketches", fraction=0.1, options=OPTIONS)
        row.state = {**row.state, "guard": guard}


def _send_feedback() -> None:
    from store.adaptation import feedback
    from store.database import transaction

    with transaction() as session:
        for number in range(WRONG_ANSWERS):
            content = json.dumps({"image": str(number)}).encode()
            feedback.add(
                session,
                "shades",
                content=content,
                input_sha256=hashlib.sha256(content).hexdigest(),
                label="dark",
                request_id=f"r{number}",
                version=2,
                predicted="light",
            )


def _adapt_until_restored(responses: _Responses) -> None:
    """Do the steps of the loop, as a worker does, until the alias has moved."""
    from store import models
    from store.database import reading
    from worker.adaptation.loop import adapt_models

    _send_feedback()
    while True:
        adapt_models()
        with reading() as session:
            if models.version(session, "shades@production").version == 1:
                responses.restored_at = time.monotonic()
                return
        time.sleep(0.1)


async def _ask_and_restore(service: Service) -> _Responses:
    responses = _Responses()
    callers = [asyncio.create_task(_caller(service, responses)) for _ in range(service.connections)]
    await asyncio.sleep(SECONDS)
    await asyncio.wait_for(asyncio.to_thread(_adapt_until_restored, responses), timeout=60)
    await asyncio.sleep(SECONDS)
    for caller in callers:
        caller.cancel()
    for ended in await asyncio.gather(*callers, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            responses.statuses[0] += 1
    return responses


async def _caller(service: Service, responses: _Responses) -> None:
    """Ask over one connection, one after the other, until cancelled; raises where the connection ends."""
    body = png(0)
    async with calling(service.api.port, service.api.key) as caller:
        while True:
            requested_at = time.monotonic()
            answer = await caller.ask("/predict/shades", body, "image/png")
            responses.statuses[answer.status] += 1
            version = answer.body.get("version")
            responses.versions[version] += 1
            if version == 2 and requested_at > responses.restored_at:
                responses.stale_seconds = max(responses.stale_seconds, time.monotonic() - responses.restored_at)
