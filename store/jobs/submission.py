"""Submission of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.ids import new_id
from store.job_events import append_events
from store.jobs.wake_ups import notify_after_commit
from store.queue.owner import current_owner
from store.queue.quotas import check_quotas
from store.settings import FIRST_NOTIFY_DELAY_SECONDS
from store.tables import DATASET_KINDS, PRIORITIES, Dataset, Job, clock, lane_of
from store.telemetry.current_span import current_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from store.tables import Priority


def submit(
    session: Session,
    *,
    kind: str,
    spec: Mapping[str, Any],
    dataset_id: str | None = None,
    model_name: str | None = None,
    request: Mapping[str, Any] | None = None,
    origin_id: str | None = None,
    parent_id: str | None = None,
    trial: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    priority: Priority = "normal",
) -> Job:
    """Create a queued job of the current owner, and notify the workers after the commit.

    `parent_id` is the sweep of which it is a trial, with a number and `parameters` by path; owner and priority are
    those of the sweep. A job whose dataset is not ready is claimed once it is. Raises `QuotaReached`.
    """
    parent = session.get(Job, parent_id) if parent_id is not None else None
    if parent is None:
        check_quotas(session, current_owner.get())
    dataset = session.get(Dataset, dataset_id) if dataset_id and kind not in DATASET_KINDS else None
    is_waiting = dataset is not None and dataset.state != "ready"
    job = Job(
        id=new_id("job"),
        kind=kind,
        lane=lane_of(kind),
        owner_id=current_owner.get() if parent is None else parent.owner_id,
        priority=PRIORITIES.index(priority) if parent is None else parent.priority,
        spec=dict(spec),
        request=dict(request) if request else None,
        origin_id=origin_id,
        parent_id=parent_id,
        trial=trial,
        parameters=dict(parameters) if parameters is not None else None,
        traceparent=_traceparent(parent),
        dataset_id=dataset_id,
        model_name=model_name,
        reason=f"waiting for {dataset.name}@{dataset.version}" if dataset is not None and is_waiting else None,
        # Trials are submitted by a run, which has no broker: its supervisor notifies of them at once.
        notify_at=clock(FIRST_NOTIFY_DELAY_SECONDS if parent_id is None else 0),
    )
    session.add(job)
    session.flush()
    append_events(session, job.id, ("state", {"state": "queued"}))
    session.refresh(job)
    if (span := current_span.get()) is not None:
        span.annotate({"plinth.job.id": job.id})
    notify_after_commit(session, job.id, job.lane)
    return job


def _traceparent(parent: Job | None) -> str | None:
    """Return the cause of a new job: the request, or that of its sweep."""
    span = current_span.get()
    if span is not None:
        return span.traceparent
    return parent.traceparent if parent is not None else None
