"""Lists of jobs: filters, counts, positions in the queue, trials and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import defer

from store.errors import NotFound
from store.ids import version_number
from store.jobs.conditions import is_not_paused, is_ready
from store.pagination import Page, newest_first
from store.queue import order
from store.tables import DATASET_KINDS, FINAL_STATES, ApiKey, Checkpoint, Dataset, Job, JobKind, Lane, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


#: Filter of a list: queued jobs that a user has paused.
PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Conditions of a list of jobs; None does not restrict it."""

    #: States, and `PAUSED`.
    states: Sequence[str] | None = None
    #: Without kinds, those that make datasets are left out.
    kinds: Sequence[str] | None = None
    #: `name` of the model that a job makes, or `name@3`, which one job made.
    model: str | None = None
    #: `name`, `name@2` or id of the dataset that a job reads.
    dataset: str | None = None
    #: Beginning of the id.
    id_prefix: str | None = None
    #: `name@3` of the model that a job evaluates.
    evaluates: str | None = None
    #: Name or id of the API key that submitted a job.
    owner: str | None = None
    #: Sweep whose trials are listed. Without it, and without an `id_prefix`, trials are left out.
    parent: str | None = None


def get(session: Session, job_id: str) -> Job:
    """Return a job; raises `NotFound`."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None or job.deleted_at is not None:
        raise NotFound("job", job_id)
    return job


def listing(
    session: Session,
    *,
    limit: int,
    cursor: str | None,
    matching: JobFilter | None = None,
    with_reports: bool = False,
) -> Page[Job]:
    """List jobs, newest first; those that make datasets only if the filter names their kind.

    Without `with_reports`, `Job.report` cannot be read: a report can have megabytes.
    """
    query = select(Job).where(*_conditions(matching or JobFilter()))
    if not with_reports:
        query = query.options(defer(Job.report, raiseload=True))
    return newest_first(session, query, Job.id, limit=limit, cursor=cursor)


def _conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Job.deleted_at.is_(None)]
    conditions.append(Job.kind.in_(matching.kinds) if matching.kinds else Job.kind.not_in(DATASET_KINDS))
    if matching.states:
        is_paused = and_(Job.state == "queued", Job.requested == "pause") if PAUSED in matching.states else None
        in_states = Job.state.in_([state for state in matching.states if state != PAUSED])
        conditions.append(in_states if is_paused is None else or_(in_states, is_paused))
    if matching.model is not None:
        name, _, number = matching.model.partition("@")
        conditions.append(Job.model_name == name)
        if number:
            version = select(Model.job_id).where(Model.name == name, Model.version == version_number(number))
            conditions.append(Job.id.in_(version))
    if matching.dataset is not None:
        name, _, number = matching.dataset.partition("@")
        is_version = [Dataset.version == version_number(number)] if number else []
        named = and_(Dataset.name == name, *is_version)
        conditions.append(Job.dataset_id.in_(select(Dataset.id).where(or_(Dataset.id == matching.dataset, named))))
    if matching.evaluates is not None:
        conditions += [Job.kind == JobKind.EVALUATE, Job.spec["model"].as_string() == matching.evaluates]
    if matching.owner is not None:
        keys = select(ApiKey.id).where(or_(ApiKey.id == matching.owner, ApiKey.name == matching.owner))
        conditions.append(Job.owner_id.in_(keys))
    if matching.parent is not None:
        conditions.append(Job.parent_id == matching.parent)
    elif matching.id_prefix is None:
        conditions.append(Job.parent_id.is_(None))
    if matching.id_prefix is not None:
        conditions.append(Job.id.startswith(matching.id_prefix, autoescape=True))
    return conditions


def count_by_state(session: Session, *, with_validations: bool = True) -> dict[str, int]:
    """Return the number of jobs in each state that has any."""
    query = select(Job.state, func.count()).where(Job.deleted_at.is_(None))
    if not with_validations:
        query = query.where(Job.kind.not_in(DATASET_KINDS))
    rows = session.execute(query.group_by(Job.state)).all()
    return {row[0]: row[1] for row in rows}


def count_unfinished(session: Session, lane: Lane) -> int:
    """Return the number of queued and running jobs of a lane, without paused ones."""
    is_unfinished = and_(Job.state.in_(("queued", "running")), is_not_paused(), Job.lane == lane)
    return session.scalar(select(func.count()).select_from(Job).where(is_unfinished)) or 0


def queue_positions(session: Session, rows: Sequence[Job]) -> dict[str, int]:
    """Return the positions of jobs in the queue of their lane.

    1 is the job that starts next, by `store.queue.order`. A job that waits for no worker, but for its dataset or after
    a crash, has none.
    """
    ids: dict[str, list[str]] = {}
    for job in rows:
        if job.state == "queued":
            ids.setdefault(job.lane, []).append(job.id)
    conditions = is_ready()
    parts = [order.positions(session, Lane(lane), conditions, job_ids) for lane, job_ids in ids.items()]
    return {job_id: position for part in parts for job_id, position in part.items()}


def checkpoints(session: Session, job_id: str) -> Sequence[Checkpoint]:
    """List the checkpoints of a job, the furthest step first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    return session.scalars(query.order_by(Checkpoint.step.desc(), Checkpoint.fence.desc())).all()


def trials(session: Session, job_id: str) -> Sequence[Job]:
    """List the trials of a sweep by number; empty for any other job."""
    query = select(Job).where(Job.parent_id == job_id, Job.deleted_at.is_(None)).order_by(Job.trial)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def unfinished_trials(session: Session, job_id: str) -> list[str]:
    """List the ids of the trials of a sweep that have not ended."""
    return [trial.id for trial in trials(session, job_id) if trial.state not in FINAL_STATES]
