"""Streams the events of a job as server-sent events.

Reads them by short queries in a thread when the job has changed; no session stays open between them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from starlette.responses import StreamingResponse

from app.jobs.schemas import FINAL_STATES, Event
from store import job_events
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from app.jobs.changes import JobChanges
    from store.job_events import JobVersion

#: Time without an event after which a comment keeps the connection alive.
KEEP_ALIVE_SECONDS: Final = 15.0
BATCH: Final = 500

MEDIA_TYPE: Final = "text/event-stream"


def stream(job_id: str, *, after: int, changes: JobChanges, stopping: asyncio.Event) -> StreamingResponse:
    """Stream every event after event `after`, then `event: end`.

    A shutdown ends the stream without `event: end`; the client should connect again.
    """
    return StreamingResponse(
        _events(job_id, after, changes, stopping),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(job_id: str, after: int, changes: JobChanges, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    last_write = time.monotonic()
    yield b": ok\n\n"
    with changes.watch(job_id):
        while not stopping.is_set():
            events, version = await to_thread.run_sync(_read, job_id, after)
            for event in events:
                yield f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode()
                after, last_write = event.id, time.monotonic()
            if len(events) == BATCH:
                continue
            if version.state in FINAL_STATES:
                yield f'event: end\ndata: {{"state":"{version.state}"}}\n\n'.encode()
                return
            while not stopping.is_set() and not await changes.has_changed(job_id, version):
                if time.monotonic() - last_write >= KEEP_ALIVE_SECONDS:
                    yield b": keep-alive\n\n"
                    last_write = time.monotonic()


def _read(job_id: str, after: int) -> tuple[list[Event], JobVersion]:
    """Read events and version.

    The version is read first, so that the events include all that precede a final state.
    """
    with reading() as session:
        version = job_events.versions(session, [job_id]).get(job_id)
        if version is None:
            raise NotFound("job", job_id)
        return [Event.of(row) for row in job_events.events(session, job_id, after=after, limit=BATCH)], version
