"""The events of a job in order, and its metric curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, func, literal, literal_column, select, update

from store.tables import Event, Job, MetricPoint
from store.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

#: Pairs of step and value; the value is None where it was not a finite number.
Curve = list[tuple[int, float | None]]


class JobVersion(NamedTuple):
    """Number of the events of a job, which only grows, and its state."""

    events: int
    state: str


class PhaseStart(NamedTuple):
    """Begin of a phase of a run, or of one of its epochs."""

    phase: str
    #: Number of the epoch from 1; None or 0 for a phase without.
    epoch: int | None
    started_at: datetime


def versions(session: Session, job_ids: Sequence[str]) -> dict[str, JobVersion]:
    """Return the version of each job by id, without those that have been deleted."""
    rows = select(Job.id, Job.events, Job.state).where(Job.id.in_(job_ids), Job.deleted_at.is_(None))
    return {job_id: JobVersion(count, state) for job_id, count, state in session.execute(rows)}


def events(session: Session, job_id: str, *, after: int = 0, limit: int) -> Sequence[Event]:
    """List events in order, starting after number `after`."""
    return session.scalars(_events(job_id, after, limit)).all()


def log_lines(session: Session, job_id: str, *, after: int = 0, limit: int) -> Sequence[Event]:
    """List the events that are log lines, as `events` does."""
    # Written out: a database takes an index over some rows only for a condition that it can read.
    return session.scalars(_events(job_id, after, limit).where(Event.kind == literal_column("'log'"))).all()


def append_state(
    session: Session, job_id: str, state: str, reason: str | None = None, error: Mapping[str, Any] | None = None
) -> None:
    """Append the event of a change of a job's state."""
    data = {"state": state} | ({"reason": reason} if reason else {}) | ({"error": dict(error)} if error else {})
    append_events(session, job_id, ("state", data))


def _events(job_id: str, after: int, limit: int) -> Select[Event]:
    return select(Event).where(Event.job_id == job_id, Event.number > after).order_by(Event.number).limit(limit)


def metrics(
    session: Session, job_id: str, *, names: Sequence[str] | None = None, max_points: int = 1000
) -> dict[str, Curve]:
    """Return curves by name, each thinned evenly to `max_points`; the last point always remains."""
    curves = curve_names(session, job_id)
    selected = curves if not names else [name for name in curves if name in names]
    return {name: _curve(session, job_id, name, max_points) for name in selected}


def curve_names(session: Session, job_id: str) -> Sequence[str]:
    """List the curves of a job, by one seek in the index for each."""
    name = select(func.min(MetricPoint.name).label("name")).where(MetricPoint.job_id == job_id).cte(recursive=True)
    following = select(func.min(MetricPoint.name)).where(MetricPoint.job_id == job_id, MetricPoint.name > name.c.name)
    name = name.union_all(select(following.scalar_subquery()).where(name.c.name.is_not(None)))
    return session.scalars(select(name.c.name).where(name.c.name.is_not(None))).all()


def _curve(session: Session, job_id: str, name: str, max_points: int) -> Curve:
    """Return a curve, thinned evenly over its steps."""
    is_in_curve = and_(MetricPoint.job_id == job_id, MetricPoint.name == name)
    points = select(MetricPoint.step, MetricPoint.value).where(is_in_curve)
    whole = session.execute(points.order_by(MetricPoint.step).limit(max_points + 1)).all()
    if len(whole) <= max_points:
        return [(step, value) for step, value in whole]
    last = session.execute(points.order_by(MetricPoint.step.desc()).limit(1)).one()
    thinned = _thin(is_in_curve, first=whole[0].step, last=last.step, intervals=max_points - 1)
    return [*((step, value) for step, value in session.execute(thinned)), (last.step, last.value)]


def _thin(is_in_curve: ColumnElement[bool], *, first: int, last: int, intervals: int) -> Select[int, float | None]:
    """Select points that are at least a stride apart, without the last.

    Each is a seek in the index, so that the cost grows with the points that are returned, not with the curve. Their
    values are looked up one at a time for the same reason: for a join, SQLite would read the whole curve.
    """
    stride = max(-(-(last - first) // max(intervals, 1)), 1)
    step = select(literal(first).label("step")).where(literal(intervals) > 0).cte(recursive=True)
    following = select(func.min(MetricPoint.step)).where(
        is_in_curve, MetricPoint.step >= step.c.step + stride, MetricPoint.step < last
    )
    step = step.union_all(select(following.scalar_subquery()).where(step.c.step.is_not(None)))
    value = select(MetricPoint.value).where(is_in_curve, MetricPoint.step == step.c.step).scalar_subquery()
    return select(step.c.step, value).where(step.c.step.is_not(None))


def last_states(session: Session, job_id: str, *, limit: int = 2) -> Sequence[Event]:
    """Return the newest changes of a job's state, the newest first."""
    query = select(Event).where(Event.job_id == job_id, Event.kind == "state")
    return session.scalars(query.order_by(Event.number.desc()).limit(limit)).all()


def phases(session: Session, job_id: str, *, after: int) -> list[PhaseStart]:
    """Return when each phase and each epoch was first reported, in order.

    Only events after number `after` count. Reports come once a second, those of a new phase at once. After an hour most
    of them are gone (`store.disk`).
    """
    progress = (
        select(
            Event.data["phase"].as_string().label("phase"),
            Event.data["epoch"].as_integer().label("epoch"),
            Event.number,
            Event.created_at,
        )
        .where(Event.job_id == job_id, Event.number > after, Event.kind == "progress")
        .subquery()
    )
    first = select(progress.c.phase, progress.c.epoch, func.min(progress.c.created_at))
    query = first.group_by(progress.c.phase, progress.c.epoch).order_by(func.min(progress.c.number))
    return [PhaseStart(*row) for row in session.execute(query) if row[0]]


def append_events(session: Session, job_id: str, *entries: tuple[str, Mapping[str, Any]]) -> None:
    """Append events, numbered in order; the update of the counter serializes concurrent writers."""
    if not entries:
        return
    last = session.scalar(
        update(Job).where(Job.id == job_id).values(events=Job.events + len(entries)).returning(Job.events)
    )
    assert last is not None
    for offset, (kind, data) in enumerate(entries):
        number = last - len(entries) + 1 + offset
        session.add(Event(job_id=job_id, number=number, kind=kind, data=dict(data)))
    session.flush()
    outbox.emit_job_states(session, job_id, entries)


def save_metrics(session: Session, job_id: str, metrics: Mapping[str, float | None], *, step: int) -> None:
    """Save one point per curve.

    A step that is repeated after a crash replaces its point.
    """
    for name, value in metrics.items():
        session.merge(MetricPoint(job_id=job_id, name=name, step=step, value=value))


def finite_or_none(value: Any) -> Any:
    """Replace an infinite float, or NaN, by None: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
