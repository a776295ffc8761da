"""Thinning of the events and curves of long runs, so that their size is bounded.

A run writes three events and four points a second. After an hour, most events of progress are worth nothing, and no
curve is drawn from more points than a screen has. States and log lines stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, or_, select

from store.job_events import curve_names
from store.tables import Event, Job, MetricPoint, clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

#: Kinds of events that are written all the time.
FREQUENT_KINDS: Final = ("metric", "progress")
#: Age from which one event of `EVENT_STRIDE` remains: one in twenty seconds.
WHOLE_SECONDS: Final = 3600.0
EVENT_STRIDE: Final = 60
#: Points of one curve, of which the newest remain whole, and every second one of the others is deleted.
MAX_CURVE_POINTS: Final = 3000
WHOLE_CURVE_POINTS: Final = 1000
#: Limit of one transaction, so that no other writer waits for long.
MAX_DELETED_EVENTS: Final = 2000


def long_jobs(session: Session) -> Sequence[str]:
    """List the jobs with many events that run, or have ended within the last hours."""
    is_recent = or_(Job.state == "running", Job.finished_at > clock(-2 * WHOLE_SECONDS))
    return session.scalars(select(Job.id).where(is_recent, Job.events > MAX_CURVE_POINTS)).all()


def thin_events(session: Session, job_id: str) -> int:
    """Delete old events of progress; return their number, at most `MAX_DELETED_EVENTS`."""
    is_old = (
        Event.job_id == job_id,
        Event.kind.in_(FREQUENT_KINDS),
        Event.created_at < clock(-WHOLE_SECONDS),
        Event.number % EVENT_STRIDE != 0,
    )
    numbers = session.scalars(
        select(Event.number).where(*is_old).order_by(Event.number).limit(MAX_DELETED_EVENTS)
    ).all()
    if numbers:
        session.execute(delete(Event).where(*is_old, Event.number <= numbers[-1]))
    return len(numbers)


def thin_curves(session: Session, job_id: str) -> int:
    """Delete every second old point of curves that are too long; return their number."""
    return sum(_thin_curve(session, job_id, name) for name in curve_names(session, job_id))


def _thin_curve(session: Session, job_id: str, name: str) -> int:
    is_in_curve = (MetricPoint.job_id == job_id, MetricPoint.name == name)
    newest_first = select(MetricPoint.step).where(*is_in_curve).order_by(MetricPoint.step.desc())
    if session.scalar(newest_first.offset(MAX_CURVE_POINTS).limit(1)) is None:
        return 0
    first_whole = session.scalar(newest_first.offset(WHOLE_CURVE_POINTS - 1).limit(1))
    row = func.row_number().over(order_by=MetricPoint.step).label("row")
    numbered = select(MetricPoint.step, row).where(*is_in_curve, MetricPoint.step < first_whole).subquery()
    steps = session.scalars(select(numbered.c.step).where(numbered.c.row % 2 == 0)).all()
    # By blocks: a database takes tens of thousands of parameters, not more.
    for start in range(0, len(steps), MAX_DELETED_EVENTS):
        block = steps[start : start + MAX_DELETED_EVENTS]
        session.execute(delete(MetricPoint).where(*is_in_curve, MetricPoint.step.in_(block)))
    return len(steps)
