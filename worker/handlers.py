"""The Celery handler of notifications.

A message holds a job's id and its lane, and means: look at the queue of this lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.settings import HANDLER
from store.tables import Lane

if TYPE_CHECKING:
    from celery import Celery

    from worker.supervisor import Supervisor


def register(app: Celery, supervisor: Supervisor) -> None:
    """Register the handler that passes each notification of `app` to the supervisor."""

    @app.task(name=HANDLER)  # type: ignore[untyped-decorator]  # Celery has no types
    def run_job(job_id: str, lane: str) -> None:
        supervisor.handle(job_id, Lane(lane))
