"""One reader of the database for all streams that wait for changes of jobs.

While any stream waits, one query a tick reads a version of each of their jobs: its state, and the number of its events,
which only grows. So the cost of an idle stream is one id more in that query.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from app.event_log import EventLogger
from store import job_events
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from store.job_events import JobVersion

TICK_SECONDS: Final = 0.25

logger = EventLogger(__name__)


class JobChanges:
    """Versions of the jobs that streams wait for."""

    def __init__(self) -> None:
        #: Streams by the id of their job.
        self._streams: Counter[str] = Counter()
        self._versions: Mapping[str, JobVersion] | None = None
        self._tick = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, job_id: str) -> Iterator[None]:
        """Read versions of a job in each tick; the last to leave stops the reader."""
        self._streams[job_id] += 1
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self._streams[job_id] -= 1
            self._streams += Counter()  # drops the jobs without a stream
            if not self._streams:
                self._reader.cancel()
                self._reader, self._versions = None, None

    async def has_changed(self, job_id: str, version: JobVersion) -> bool:
        """Wait for the next tick; return whether the job may have changed.

        It may if the database could not be read: the stream then reads it, and ends as its own read says.
        """
        await self._tick.wait()
        return self._versions is None or self._versions.get(job_id) != version

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._versions = await to_thread.run_sync(_versions, list(self._streams))
            except SQLAlchemyError as error:
                logger.warning("jobs_not_read", reason=type(error).__name__)
                self._versions = None
            tick, self._tick = self._tick, asyncio.Event()
            tick.set()


def _versions(job_ids: Sequence[str]) -> Mapping[str, JobVersion]:
    with reading() as session:
        return job_events.versions(session, job_ids)
