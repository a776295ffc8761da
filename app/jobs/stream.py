"""Streams the events of a job as server-sent events.

Polls the database with short queries in a thread; no session stays open between them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from starlette.responses import StreamingResponse

from app.jobs.schemas import FINAL_STATES, Event
from store import job_events, jobs
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLL_SECONDS: Final = 0.25
#: Time without an event after which a comment keeps the connection alive.
KEEP_ALIVE_SECONDS: Final = 15.0
BATCH: Final = 500

MEDIA_TYPE: Final = "text/event-stream"


def stream(job_id: str, *, after: int, stopping: asyncio.Event) -> StreamingResponse:
    """Stream every event after event `after`, then `event: end`.

    A shutdown ends the stream without `event: end`; the client should connect again.
    """
    return StreamingResponse(
        _events(job_id, after, stopping),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(job_id: str, after: int, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    last_write = time.monotonic()
    yield b": ok\n\n"
    while not stopping.is_set():
        events, state = await to_thread.run_sync(_read, job_id, after)
        for event in events:
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode()
            after, last_write = event.id, time.monotonic()
        if len(events) == BATCH:
            continue
        if state in FINAL_STATES:
            yield f'event: end\ndata: {{"state":"{state}"}}\n\n'.encode()
            return
        if time.monotonic() - last_write >= KEEP_ALIVE_SECONDS:
            yield b": keep-alive\n\n"
            last_write = time.monotonic()
        await _pause(stopping)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await stopping.wait()
    except TimeoutError:
        return


def _read(job_id: str, after: int) -> tuple[list[Event], str]:
    """Read events and state.

    The state is read first, so that the events include all that precede a final state.
    """
    with reading() as session:
        state = jobs.get(session, job_id).state
        return [Event.of(row) for row in job_events.events(session, job_id, after=after, limit=BATCH)], state
