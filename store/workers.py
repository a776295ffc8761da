"""Workers that are alive, by their heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from store.database import update_rows
from store.tables import Worker, clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

MAX_SILENCE_SECONDS = 15.0


def heartbeat(session: Session, name: str, *, slots: int, devices: int | None = None) -> bool:
    """Report a worker as alive, with what it offers.

    `devices` are those for one training. Return whether it is the oldest one, which cleans up for all.
    """
    session.execute(delete(Worker).where(Worker.seen_at < clock(-MAX_SILENCE_SECONDS)))
    changes = {"seen_at": clock(), "slots": slots, "devices": devices}
    if not update_rows(session, update(Worker).where(Worker.name == name).values(changes)):
        session.add(Worker(name=name, slots=slots, devices=devices, started_at=clock(), seen_at=clock()))
        session.flush()
    return session.scalar(select(Worker.name).order_by(Worker.started_at, Worker.name).limit(1)) == name


def remove(session: Session, name: str) -> None:
    """Remove a worker that shuts down, so that the next oldest takes over without delay."""
    session.execute(delete(Worker).where(Worker.name == name))


def list_alive(session: Session) -> Sequence[Worker]:
    """List the workers with a recent heartbeat, oldest first."""
    query = select(Worker).where(Worker.seen_at >= clock(-MAX_SILENCE_SECONDS)).order_by(Worker.started_at, Worker.name)
    return session.scalars(query).all()
