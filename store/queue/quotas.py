"""Quotas of API keys: jobs at once, and CPU time of a day.

They are checked when a job is submitted. A job that was accepted runs to its end, and so do the trials of a sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from store.database import lock
from store.errors import QuotaReached
from store.settings import store_settings
from store.tables import ApiKey, Job, Lane, clock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

DAY_SECONDS: Final = 86_400


def check_quotas(session: Session, owner_id: str) -> None:
    """Raise `QuotaReached` if an API key may not submit another job now."""
    key = session.get(ApiKey, owner_id)
    if key is None:
        return
    settings = store_settings()
    max_jobs = settings.key_max_jobs if key.max_jobs is None else key.max_jobs
    cpu_seconds = settings.key_cpu_seconds_per_day if key.cpu_seconds_per_day is None else key.cpu_seconds_per_day
    if max_jobs is None and cpu_seconds is None:
        return
    # Two requests at once must not both be the last one.
    lock(session, f"quota {owner_id}")
    if max_jobs is not None:
        _check_jobs(session, key, max_jobs)
    if cpu_seconds is not None:
        _check_cpu(session, key, cpu_seconds)


def _check_jobs(session: Session, key: ApiKey, limit: int) -> None:
    is_unfinished = (Job.state.in_(("queued", "running")), Job.lane.in_(list(Lane)), Job.owner_id == key.id)
    query = select(func.count()).select_from(Job).where(*is_unfinished, Job.parent_id.is_(None))
    count = session.scalar(query) or 0
    if count >= limit:
        noun = "job" if count == 1 else "jobs"
        raise QuotaReached(
            f"the key {key.name!r} has {count:,} {noun} queued or running (quota {limit:,}); wait until one of them "
            "ends, or cancel one"
        )


def _check_cpu(session: Session, key: ApiKey, limit: int) -> None:
    """Count the jobs that started within a day, by their latest progress."""
    cpu_seconds = func.sum(Job.progress["cpu_seconds"].as_float())
    is_counted = (Job.owner_id == key.id, Job.lane.in_(list(Lane)), Job.started_at > clock(-DAY_SECONDS))
    used, first_start, now = session.execute(
        select(cpu_seconds, func.min(Job.started_at), clock()).where(*is_counted)
    ).one()
    if used is not None and used >= limit:
        retry_seconds = DAY_SECONDS - (now - first_start).total_seconds()
        raise QuotaReached(
            f"the jobs of the key {key.name!r} have used {used:,.0f} CPU seconds within a day (quota {limit:,}); try "
            f"again in {retry_seconds / 3600:.1f} h, when the first of them is no longer counted",
            retry_seconds=retry_seconds,
        )
