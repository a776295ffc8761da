"""Who is there to run jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from store.database import changed
from store.tables import Worker, clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

GONE_AFTER_SECONDS = 15.0


def beat(session: Session, name: str, *, slots: int) -> bool:
    """Say "here"; True for the eldest of those who are, who looks after what nobody looks after."""
    session.execute(delete(Worker).where(Worker.seen_at < clock(-GONE_AFTER_SECONDS)))
    if not changed(session, update(Worker).where(Worker.name == name).values(seen_at=clock(), slots=slots)):
        session.add(Worker(name=name, slots=slots, started_at=clock(), seen_at=clock()))
        session.flush()
    return session.scalar(select(Worker.name).order_by(Worker.started_at, Worker.name).limit(1)) == name


def leave(session: Session, name: str) -> None:
    """Say goodbye, so that the next eldest need not wait."""
    session.execute(delete(Worker).where(Worker.name == name))


def present(session: Session) -> Sequence[Worker]:
    """Those seen lately, eldest first."""
    query = select(Worker).where(Worker.seen_at >= clock(-GONE_AFTER_SECONDS)).order_by(Worker.started_at, Worker.name)
    return session.scalars(query).all()
