"""Records of jobs: log files on this machine, and events in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import String, cast, delete, func, select

from store.database import reading, transaction
from store.disk.base import DiskKind, Item
from store.settings import store_settings
from store.tables import FINAL_STATES, Event, Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Kind of the events that stay: what became of a job remains known.
STATE_EVENT: Final = "state"
LOG_FILES: Final = "job_*.log"


def log_folder() -> Path:
    """Return the folder of the log files of this machine."""
    return store_settings().home / "logs"


def _list_logs() -> Iterator[Item]:
    """Yield the log files of jobs on this machine; every worker has its own."""
    with reading() as session:
        unfinished = set(session.scalars(select(Job.id).where(Job.state.not_in(FINAL_STATES))))
    for path in log_folder().glob(LOG_FILES):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        since = None if path.stem in unfinished else datetime.fromtimestamp(status.st_mtime, UTC)
        yield Item(name=path.name, bytes=status.st_size, unneeded_since=since)


def _delete_log(name: str) -> None:
    (log_folder() / name).unlink(missing_ok=True)


def _list_events() -> Iterator[Item]:
    """Yield the size of the events of each job, without those of its states."""
    size = func.sum(func.length(cast(Event.data, String)))
    query = select(Event.job_id, Job.state, Job.finished_at, size).join(Job, Job.id == Event.job_id)
    query = query.where(Event.kind != STATE_EVENT).group_by(Event.job_id, Job.state, Job.finished_at)
    with reading() as session:
        rows = session.execute(query).all()
    for job_id, state, finished_at, bytes_ in rows:
        yield Item(name=job_id, bytes=bytes_ or 0, unneeded_since=finished_at if state in FINAL_STATES else None)


def _delete_events(job_id: str) -> None:
    with transaction() as session:
        session.execute(delete(Event).where(Event.job_id == job_id, Event.kind != STATE_EVENT))


LOGS = DiskKind(
    name="logs",
    summary="Log files of jobs on this machine.",
    list_items=_list_logs,
    delete=_delete_log,
    setting="log_retention_days",
)
EVENTS = DiskKind(
    name="events",
    summary="Progress and log lines of jobs in the database; states, curves and reports stay.",
    list_items=_list_events,
    delete=_delete_events,
    setting="event_retention_days",
)
