"""Records of answered requests, within the bounds of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import undefer

from store.tables import RequestRecord, clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from store.tables import Watch

SECONDS_PER_DAY: Final = 86_400


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert records, each with all columns but the defaults."""
    if rows:
        session.execute(insert(RequestRecord), [dict(row) for row in rows])


def trim(session: Session, watch: Watch) -> None:
    """Delete records of a watch beyond its bounds: age, number, bytes."""
    own = RequestRecord.model_name == watch.model_name
    oldest = clock(-watch.options["max_days"] * SECONDS_PER_DAY)
    session.execute(delete(RequestRecord).where(own, RequestRecord.created_at < oldest))
    total = func.sum(RequestRecord.bytes).over(order_by=RequestRecord.id.desc())
    number = func.row_number().over(order_by=RequestRecord.id.desc())
    ranked = select(RequestRecord.id, total.label("total"), number.label("number")).where(own).subquery()
    is_beyond = (ranked.c.number > watch.options["max_rows"]) | (ranked.c.total > watch.options["max_bytes"])
    newest = session.scalar(select(func.max(ranked.c.id)).where(is_beyond))
    if newest is not None:
        session.execute(delete(RequestRecord).where(own, RequestRecord.id <= newest))


def measure(session: Session, name: str) -> tuple[int, int]:
    """Return the number of records of a model, and their bytes."""
    query = select(func.count(), func.coalesce(func.sum(RequestRecord.bytes), 0))
    count, size = session.execute(query.where(RequestRecord.model_name == name)).one()
    return count, int(size)


def find(session: Session, name: str, request_id: str, position: int) -> RequestRecord | None:
    """Return the newest record of an input of a request, with its input, or None."""
    query = select(RequestRecord).where(RequestRecord.model_name == name, RequestRecord.request_id == request_id)
    query = query.where(RequestRecord.position == position).order_by(RequestRecord.id.desc()).limit(1)
    return session.scalar(query.options(undefer(RequestRecord.input)))


def newest(session: Session, name: str, *, limit: int) -> Sequence[RequestRecord]:
    """List the newest records of a model that have an input, without the inputs."""
    query = select(RequestRecord).where(RequestRecord.model_name == name, RequestRecord.input.is_not(None))
    return session.scalars(query.order_by(RequestRecord.id.desc()).limit(limit)).all()


def inputs(session: Session, ids: Sequence[str]) -> dict[str, bytes]:
    """Return the inputs of records by id."""
    query = select(RequestRecord.id, RequestRecord.input).where(RequestRecord.id.in_(ids))
    return {row[0]: row[1] for row in session.execute(query) if row[1] is not None}


def list_unchecked(session: Session, name: str, *, limit: int) -> Sequence[RequestRecord]:
    """List the oldest records that the drift tests have not read."""
    query = select(RequestRecord).where(RequestRecord.model_name == name, RequestRecord.is_checked.is_(False))
    return session.scalars(query.order_by(RequestRecord.id).limit(limit)).all()


def check(session: Session, rows: Sequence[RequestRecord]) -> None:
    """Mark records as read by the drift tests.

    Those without an input have no further use and are deleted.
    """
    ids = [row.id for row in rows]
    session.execute(delete(RequestRecord).where(RequestRecord.id.in_(ids), RequestRecord.input.is_(None)))
    session.execute(update(RequestRecord).where(RequestRecord.id.in_(ids)).values(is_checked=True))


def delete_inputs(session: Session, name: str) -> None:
    """Delete the inputs of all records of a model, and records of no further use."""
    own = RequestRecord.model_name == name
    session.execute(delete(RequestRecord).where(own, RequestRecord.is_checked.is_(True)))
    values = {"input": None, "bytes": func.coalesce(func.length(RequestRecord.embedding), 0)}
    session.execute(update(RequestRecord).where(own).values(**values))


def delete_all(session: Session, name: str) -> None:
    """Delete all records of a model."""
    session.execute(delete(RequestRecord).where(RequestRecord.model_name == name))
