"""Reads that wait for a state: `?wait=30` in place of polling by the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from anyio import to_thread
from fastapi import Query

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")

MAX_WAIT_SECONDS: Final = 60
POLL_SECONDS: Final = 0.25

WaitSeconds = Annotated[
    float,
    Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a final state before the response."),
]


async def poll(read: Callable[[], T], *, until: Callable[[T], bool], request: Request, seconds: float) -> T:
    """Read again until the result is final or `seconds` have passed.

    Returns the last result. `read` runs in a thread, none of which is occupied between two reads. A shutdown of the
    service, or a client that has left, ends the wait.
    """
    deadline = time.monotonic() + seconds
    stopping: asyncio.Event = request.app.state.stopping
    while True:
        result = await to_thread.run_sync(read)
        remaining = deadline - time.monotonic()
        if remaining <= 0 or until(result) or stopping.is_set() or await request.is_disconnected():
            return result
        # The event is polled, not awaited: it belongs to the loop that made the application.
        await asyncio.sleep(min(POLL_SECONDS, remaining))
