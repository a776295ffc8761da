"""What happened to a job: its events in order, and its curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from store.tables import Event, Job, MetricPoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

Curve = list[tuple[int, float | None]]
"""Steps and values; None where it was no number."""


def events(session: Session, job_id: str, *, after: int = 0, limit: int) -> Sequence[Event]:
    """In order, from the one after `after` on."""
    query = select(Event).where(Event.job_id == job_id, Event.number > after).order_by(Event.number).limit(limit)
    return session.scalars(query).all()


def metrics(
    session: Session, job_id: str, *, names: Sequence[str] | None = None, max_points: int = 1000
) -> dict[str, Curve]:
    """Curves by name; a longer one is thinned evenly, its last point always kept."""
    query = select(MetricPoint).where(MetricPoint.job_id == job_id).order_by(MetricPoint.name, MetricPoint.step)
    if names:
        query = query.where(MetricPoint.name.in_(names))
    curves: dict[str, Curve] = {}
    for point in session.scalars(query):
        curves.setdefault(point.name, []).append((point.step, point.value))
    return {name: _thinned(curve, max_points) for name, curve in curves.items()}


def _thinned(curve: Curve, max_points: int) -> Curve:
    if len(curve) <= max_points:
        return curve
    last = len(curve) - 1
    wanted = max(max_points - 1, 1)
    return [curve[round(last * number / wanted)] for number in range(wanted + 1)] if max_points > 1 else [curve[last]]


def record(session: Session, job_id: str, *entries: tuple[str, Mapping[str, Any]]) -> None:
    """Append events; the update of the counter orders writers."""
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


def keep_points(session: Session, job_id: str, metrics: Mapping[str, float | None], *, step: int) -> None:
    """A point for each curve; a step that is run again after a crash replaces its own."""
    for name, value in metrics.items():
        session.merge(MetricPoint(job_id=job_id, name=name, step=step, value=value))


def finite(value: Any) -> Any:
    """Neither JSON nor every database knows a number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
