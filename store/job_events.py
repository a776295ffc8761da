"""The events of a job in order, and its metric curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from store.tables import Event, Job, MetricPoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

#: Pairs of step and value; the value is None where it was not a finite number.
Curve = list[tuple[int, float | None]]


def events(session: Session, job_id: str, *, after: int = 0, limit: int) -> Sequence[Event]:
    """List events in order, starting after number `after`."""
    query = select(Event).where(Event.job_id == job_id, Event.number > after).order_by(Event.number).limit(limit)
    return session.scalars(query).all()


def metrics(
    session: Session, job_id: str, *, names: Sequence[str] | None = None, max_points: int = 1000
) -> dict[str, Curve]:
    """Return curves by name, each thinned evenly to `max_points`; the last point always remains."""
    query = select(MetricPoint).where(MetricPoint.job_id == job_id).order_by(MetricPoint.name, MetricPoint.step)
    if names:
        query = query.where(MetricPoint.name.in_(names))
    curves: dict[str, Curve] = {}
    for point in session.scalars(query):
        curves.setdefault(point.name, []).append((point.step, point.value))
    return {name: _thin(curve, max_points) for name, curve in curves.items()}


def _thin(curve: Curve, max_points: int) -> Curve:
    if len(curve) <= max_points:
        return curve
    last = len(curve) - 1
    if max_points == 1:
        return [curve[last]]
    intervals = max_points - 1
    return [curve[round(last * number / intervals)] for number in range(intervals + 1)]


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


def save_metrics(session: Session, job_id: str, metrics: Mapping[str, float | None], *, step: int) -> None:
    """Save one point per curve.

    A step that is repeated after a crash replaces its point.
    """
    for name, value in metrics.items():
        session.merge(MetricPoint(job_id=job_id, name=name, step=step, value=value))


def finite_or_none(value: Any) -> Any:
    """Replace an infinite float, or NaN, by None: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
