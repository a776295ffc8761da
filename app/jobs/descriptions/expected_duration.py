"""Expected duration of a training, from an earlier one of the same network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select

from ml.data.dataset import DatasetSummary
from ml.schedule import Schedule
from store.tables import Dataset, Job

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.jobs.resolved_spec import ResolvedSpec

#: Newest jobs among which the same network is searched.
MAX_JOBS: Final = 100
#: Settings on which the time of a row depends.
NETWORK: Final = ("task", "architectures", "encoders", "start_from", "tuning", "objective", "devices")


class ExpectedDuration(NamedTuple):
    """Seconds of a training, and the job that they are computed from."""

    seconds: float
    job_id: str


def expect_duration(
    session: Session, resolved: ResolvedSpec, *, steps: int, batch_size: int
) -> ExpectedDuration | None:
    """Return the time of a training by the newest of the same network, or None.

    A row is taken to need the time that it needed then, with validation, evaluation and export.
    """
    newest = (
        select(Job.id, Job.spec, Job.dataset_id, Job.progress, Job.started_at, Job.finished_at)
        .where(Job.kind == resolved.kind, Job.state == "succeeded", Job.crashes == 0)
        .order_by(Job.id.desc())
        .limit(MAX_JOBS)
    )
    for job_id, spec, dataset_id, progress, started_at, finished_at in session.execute(newest):
        if started_at is None or finished_at is None or not _is_same_network(spec, resolved.spec):
            continue
        past_rows = (progress or {}).get("step", 0) * _batch_rows(session, spec, dataset_id)
        if past_rows:
            seconds = (finished_at - started_at).total_seconds()
            return ExpectedDuration(seconds * steps * batch_size / past_rows, job_id)
    return None


def _is_same_network(spec: dict[str, Any], planned: dict[str, Any]) -> bool:
    return all(spec.get(name) == planned.get(name) for name in NETWORK)


def _batch_rows(session: Session, spec: dict[str, Any], dataset_id: str | None) -> int:
    """Return the rows of an earlier training's batch, or 0 if unknown."""
    dataset = session.get(Dataset, dataset_id) if dataset_id else None
    rows = DatasetSummary.model_validate(dataset.summary).splits.get("train", 0) if dataset and dataset.summary else 0
    return Schedule.model_validate(spec["schedule"]).batch_rows(rows) if rows else 0
