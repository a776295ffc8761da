"""Conditions on rows of jobs: ready, paused, held by a run, suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from store.tables import DATASET_KINDS, Dataset, Job, clock

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement


def is_ready() -> list[ColumnElement[bool]]:
    """Conditions on a queued job that a worker may claim now."""
    return [is_not_paused(), _is_due(), _has_its_dataset()]


def is_not_paused() -> ColumnElement[bool]:
    """Jobs that no user has paused."""
    return or_(Job.requested.is_(None), Job.requested != "pause")


def _is_due() -> ColumnElement[bool]:
    return or_(Job.not_before.is_(None), Job.not_before <= clock())


def _has_its_dataset() -> ColumnElement[bool]:
    """A job waits until its dataset is ready; a validation makes it so."""
    is_ready = select(Dataset.id).where(Dataset.id == Job.dataset_id, Dataset.state == "ready").exists()
    return or_(Job.dataset_id.is_(None), Job.kind.in_(DATASET_KINDS), is_ready)


def is_held(job_id: str, fence: int) -> ColumnElement[bool]:
    """The row of a claim, while the claim holds."""
    return and_(Job.id == job_id, Job.fence == fence, Job.state == "running", Job.lease_until.is_not(None))


def is_suspended() -> ColumnElement[bool]:
    """A suspended job runs without a lease, until a claim or a request."""
    return and_(Job.state == "running", Job.lease_until.is_(None))


def is_row_suspended(job: Job) -> bool:
    """Return whether a row meets `is_suspended`."""
    return job.state == "running" and job.lease_until is None
