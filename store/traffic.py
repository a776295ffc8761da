"""Split traffic: a candidate version beside that of an alias, and figures of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from store import models
from store.database import lock
from store.errors import Conflict, NotFound
from store.ids import new_id
from store.tables import TrafficSplit, clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

#: The candidate answers its fraction of the requests.
CANARY: Final = "canary"
#: The candidate gets copies of requests; its answers are only counted.
SHADOW: Final = "shadow"


def find_split(session: Session, name: str, alias: str) -> TrafficSplit | None:
    """Return the split of an alias, or None."""
    return session.get(TrafficSplit, (name, alias), populate_existing=True)


def split_of(session: Session, name: str, alias: str) -> TrafficSplit:
    """Return the split of an alias; raises `NotFound`."""
    row = find_split(session, name, alias)
    if row is None:
        models.alias_of(session, name, alias)
        raise NotFound("traffic split", f"{name}@{alias}")
    return row


def set_split(session: Session, name: str, alias: str, *, version: int, mode: str, weight: float) -> TrafficSplit:
    """Send a fraction of an alias's requests to a second version.

    The figures start anew unless only the weight changes. The version of the alias itself is allowed: the figures of
    both then show how much they vary anyway. Raises `NotFound`, and `Conflict` for a version of another task.
    """
    current = models.version(session, f"{name}@{models.lock_alias(session, name, alias).version}")
    candidate = models.version(session, f"{name}@{version}")
    if candidate.task != current.task:
        tasks = f"{candidate.task or 'a base model'}, and {name}@{alias} is {current.task or 'a base model'}"
        raise Conflict(f"{name}@{version} is {tasks}; split traffic between versions of one task")
    row = find_split(session, name, alias)
    if row is None:
        row = TrafficSplit(model_name=name, alias=alias)
        session.add(row)
    if (row.version, row.mode) != (version, mode):
        row.id, row.version, row.mode, row.figures = new_id("spl"), version, mode, {}
        row.created_at = clock()
    row.weight = weight
    session.flush()
    session.refresh(row)
    return row


def remove_split(session: Session, name: str, alias: str) -> None:
    """Send all requests to the version of the alias again; raises `NotFound`."""
    session.delete(split_of(session, name, alias))
    session.flush()


def add_figures(session: Session, split_id: str, figures: Mapping[str, Any]) -> None:
    """Add figures to those of a split; ignored where it has ended."""
    lock(session, f"split {split_id}")
    row = session.scalar(select(TrafficSplit).where(TrafficSplit.id == split_id).with_for_update())
    if row is not None:
        row.figures = _sum(row.figures, figures)
        session.flush()


def _sum(total: Any, added: Any) -> Any:
    """Add numbers, lists by position, and mappings by key."""
    if isinstance(added, dict):
        return {key: _sum(total.get(key), added.get(key)) for key in {**total, **added}} if total else added
    if isinstance(added, list):
        return [_sum(*pair) for pair in zip(total, added, strict=True)] if total else added
    return (total or 0) + added if added is not None else total
