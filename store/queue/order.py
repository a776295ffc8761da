"""Priorities and fair share: the order in which queued jobs run.

The highest priority goes first. Within it goes the owner with the fewest runs in the lane, where a sweep with all its
trials is one; among those with equally many the one whose last start is the longest ago, so that owners take turns
also where there is one slot. The jobs of one owner go first in, first out.

That is `_order`, which both the next job and positions are sorted by. The next job is read from the first job of every
owner, so that its cost grows with owners, not with jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal, select
from sqlalchemy.orm import aliased

from store.tables import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CTE, ColumnElement, Select, SQLColumnExpression
    from sqlalchemy.orm import Session

    from store.tables import Lane


_FIRST: Final[ColumnElement[int]] = literal(1)
_NONE: Final[ColumnElement[int]] = literal(0)


def next_job(session: Session, lane: Lane, conditions: Sequence[ColumnElement[bool]]) -> str | None:
    """Return the id of the first queued job of a lane.

    None if no job meets the `conditions`, which are on `Job`.
    """
    return session.scalars(next_job_query(lane, conditions)).first()


def next_job_query(lane: Lane, conditions: Sequence[ColumnElement[bool]]) -> Select[str]:
    """Return the query of `next_job`."""
    owners = _owners(lane)
    first = (
        select(Job.id)
        .where(*_in_queue(lane), Job.owner_id == owners.c.owner_id, *conditions)
        .order_by(Job.priority, Job.id)
        .limit(1)
        .correlate(owners)
        .scalar_subquery()
    )
    job = aliased(Job)
    order = _order(job.priority, _runs(lane, owners.c.owner_id), _last_start(lane, owners.c.owner_id), job.id)
    return select(job.id).select_from(owners).join(job, job.id == first).order_by(*order).limit(1)


def positions(
    session: Session, lane: Lane, conditions: Sequence[ColumnElement[bool]], job_ids: Sequence[str]
) -> dict[str, int]:
    """Return the positions of jobs in the queue of a lane, from 1.

    Jobs that do not meet the `conditions` are left out. The positions are the order in which jobs would start if no run
    ended meanwhile.
    """
    owners = _owners(lane)
    windows = {
        "turn": func.row_number().over(partition_by=Job.owner_id, order_by=(Job.priority, Job.id)),
        "turn_in_priority": func.row_number().over(partition_by=(Job.owner_id, Job.priority), order_by=Job.id),
        "turns_two_above": func.count().over(partition_by=Job.owner_id, order_by=Job.priority, range_=(None, -2)),
    }
    columns = (Job.id, Job.owner_id, Job.priority, *(window.label(name) for name, window in windows.items()))
    jobs = select(*columns).where(*_in_queue(lane), *conditions).subquery()
    states = select(
        owners.c.owner_id,
        _runs(lane, owners.c.owner_id).label("runs"),
        _last_start(lane, owners.c.owner_id).label("last_start"),
    ).subquery()
    turns = {name: jobs.c[name] for name in windows}
    order = _order(jobs.c.priority, states.c.runs, states.c.last_start, jobs.c.id, **turns)
    position = func.row_number().over(order_by=order).label("position")
    queue = select(jobs.c.id, position).join(states, states.c.owner_id == jobs.c.owner_id).subquery()
    rows = session.execute(select(queue.c.id, queue.c.position).where(queue.c.id.in_(job_ids))).all()
    return {row[0]: row[1] for row in rows}


def _order(
    priority: SQLColumnExpression[int],
    runs: ColumnElement[int],
    last_start: ColumnElement[Any],
    job_id: SQLColumnExpression[str],
    *,
    turn: ColumnElement[int] = _FIRST,
    turn_in_priority: ColumnElement[int] = _FIRST,
    turns_two_above: ColumnElement[int] = _NONE,
) -> tuple[SQLColumnExpression[Any], ...]:
    """Return the columns to order by; by default for the next job of each owner.

    `turn` counts the queued jobs of an owner from 1, `turn_in_priority` those of the priority of the job, and
    `turns_two_above` those of a priority that is higher by two. By the time of its turn, an owner has as many runs more
    as turns before. Among equals the one goes first whose turn before was earlier: of a higher priority, as it has had
    fewer turns in this one and then in that above, or none at all.
    """
    turns_above = turn - turn_in_priority - turns_two_above
    return (
        priority,
        runs + turn,
        turn_in_priority,
        turns_above,
        turns_two_above,
        last_start.nulls_first(),
        job_id,
    )


def _in_queue(lane: Lane) -> tuple[ColumnElement[bool], ...]:
    return Job.state == "queued", Job.lane == lane


def _owners(lane: Lane) -> CTE:
    """Return the owners of queued jobs, by one seek in an index for each.

    The last row is a null, which joins nothing.
    """
    smallest = func.min(Job.owner_id)
    owners = select(smallest.label("owner_id")).where(*_in_queue(lane)).cte("owners", recursive=True)
    following = select(smallest).where(*_in_queue(lane), Job.owner_id > owners.c.owner_id).scalar_subquery()
    return owners.union_all(select(following).where(owners.c.owner_id.is_not(None)))


def _runs(lane: Lane, owner_id: ColumnElement[str]) -> ColumnElement[int]:
    """Return the number of runs of an owner; a sweep and its trials are one."""
    run = aliased(Job)
    is_run = (run.state == "running", run.lane == lane, run.owner_id == owner_id, run.lease_until.is_not(None))
    return select(func.count(func.coalesce(run.parent_id, run.id).distinct())).where(*is_run).scalar_subquery()


def _last_start(lane: Lane, owner_id: ColumnElement[str]) -> ColumnElement[Any]:
    run = aliased(Job)
    return select(func.max(run.started_at)).where(run.owner_id == owner_id, run.lane == lane).scalar_subquery()
