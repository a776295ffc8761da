"""A job's events as server-sent events: short queries in a thread, no session held open between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import StreamingResponse

from app.jobs.schemas import FINAL, Event
from store import job_events, jobs
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLL_SECONDS = 0.25
COMMENT_SECONDS = 15.0
BATCH = 500

MEDIA_TYPE = "text/event-stream"


def stream(job_id: str, *, after: int, stopping: asyncio.Event) -> StreamingResponse:
    """Everything after event `after`, then `event: end`. A server that stops ends the stream without it: come again."""
    return StreamingResponse(
        _events(job_id, after, stopping),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(job_id: str, after: int, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    spoken = time.monotonic()
    yield b": ok\n\n"
    while not stopping.is_set():
        events, state = await to_thread.run_sync(_read, job_id, after)
        for event in events:
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode()
            after, spoken = event.id, time.monotonic()
        if len(events) == BATCH:
            continue
        if state in FINAL:
            yield f'event: end\ndata: {{"state":"{state}"}}\n\n'.encode()
            return
        if time.monotonic() - spoken >= COMMENT_SECONDS:
            yield b": still here\n\n"
            spoken = time.monotonic()
        await _pause(stopping)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await stopping.wait()
    except TimeoutError:
        return


def _read(job_id: str, after: int) -> tuple[list[Event], str]:
    """The state is read first: what a final state was preceded by is then among the events."""
    with reading() as session:
        state = jobs.get(session, job_id).state
        return [Event.of(row) for row in job_events.events(session, job_id, after=after, limit=BATCH)], state
