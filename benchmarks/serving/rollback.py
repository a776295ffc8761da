"""Failed or wrong answers while a watch restores the earlier version under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from benchmarks.serving.service import Figure, Service
from benchmarks.serving.version_change import VersionChange
from tests.support.adaptation import WATCH_OPTIONS, add_labels
from tests.support.factories import png, register, shades

#: Wrong answers of the promoted version with feedback, by which the loop restores the earlier one.
WRONG_ANSWERS: Final = 30
SECONDS: Final = 3.0


def measure(service: Service) -> Iterable[Figure]:
    """Promote a wrong version under a guard, and let feedback restore the earlier one."""
    from tests.support import homes

    with homes.use_home(service.api.home):
        for bias in (0.0, 1e6):
            register(shades(service.folder / f"bias-{bias:g}", bias=bias))
        _promote()
        change = asyncio.run(_ask_and_restore(service))
    message = f"of {change.total:,} answers; {change.describe_versions()}"
    yield Figure(
        f"version restored by its watch under {service.connections} connections: failed",
        f"{change.failed}",
        "0",
        message,
    )
    yield Figure("the restored version answers after", f"{change.stale_seconds:.2f} s at most", "<= 1 s")


def _promote() -> None:
    from store import models
    from store.adaptation import watches
    from store.database import transaction

    guard = {"version": 2, "earlier": 1, "since": datetime.now(UTC).isoformat(), "feedback_since": "", "expected": 0.9}
    with transaction() as session:
        models.set_alias(session, "shades", "production", 2)
        row = watches.put(session, "shades", keep="sketches", fraction=0.1, options=WATCH_OPTIONS)
        row.state = {**row.state, "guard": guard}


def _adapt_until_restored(change: VersionChange) -> None:
    """Do the steps of the loop, as a worker does, until the alias has moved."""
    from store import models
    from store.database import reading
    from worker.adaptation.loop import adapt_models

    add_labels("shades", "dark", WRONG_ANSWERS, version=2, predicted="light")
    while True:
        adapt_models()
        with reading() as session:
            if models.version(session, "shades@production").version == 1:
                change.expect(1)
                return
        time.sleep(0.1)


async def _ask_and_restore(service: Service) -> VersionChange:
    change = VersionChange()
    async with change.under_load(service, "/predict/shades", png(0)):
        await asyncio.sleep(SECONDS)
        await asyncio.wait_for(asyncio.to_thread(_adapt_until_restored, change), timeout=60)
        await asyncio.sleep(SECONDS)
    return change
