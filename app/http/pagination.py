"""Lists, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel

from store.pagination import Page

Item = TypeVar("Item")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
_BEFORE = "`next_cursor` of the page before."
Cursor = Annotated[str | None, Query(pattern=r"^[a-z]+_[0-9a-f]{32}$", description=_BEFORE)]
NumberCursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,9}$", description=_BEFORE)]
"""Of a list that is numbered: events, versions."""


class ListOf(BaseModel, Generic[Item]):
    """One page. `next_cursor` goes into `?cursor=` for the next one."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = False
    next_cursor: str | None = None

    @classmethod
    def of(cls, page: Page[Row], item: Callable[[Row], Item]) -> ListOf[Item]:
        """A page of rows as clients see them."""
        cursor = page.next_cursor
        return cls(data=[item(row) for row in page.items], has_more=cursor is not None, next_cursor=cursor)
