"""The Celery entry point. A message carries a job's id and means "look"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.settings import HANDLER

if TYPE_CHECKING:
    from celery import Celery

    from worker.supervisor import Supervisor


def register(app: Celery, supervisor: Supervisor) -> None:
    """Let the supervisor answer every bell that rings on `app`."""

    @app.task(name=HANDLER)  # type: ignore[untyped-decorator]  # Celery has no types
    def run_job(job_id: str) -> None:
        supervisor.answer(job_id)
