"""Pagination: lists in pages, newest first, starting at a cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `next_cursor` is None on the last page."""

    items: Sequence[Item]
    next_cursor: str | None


def newest_first(
    session: Session, query: Select[Item], key: InstrumentedAttribute[str], *, limit: int, cursor: str | None
) -> Page[Item]:
    """Return one page, ordered by a key that sorts by time.

    The cursor is the last key of the page before, so that new rows do not shift pages.
    """
    if cursor is not None:
        query = query.where(key < cursor)
    rows: Sequence[Any] = session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    items = rows[:limit]
    return Page(items, getattr(items[-1], key.key) if len(rows) > limit else None)
