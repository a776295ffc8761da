"""Pagination of lists: parameters and responses, newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel

from store.pagination import Page

Item = TypeVar("Item")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=200, description="Maximum number of items.")]
_DESCRIPTION = "`next_cursor` of the previous page."
Cursor = Annotated[str | None, Query(pattern=r"^[a-z]+_[0-9a-f]{32}$", description=_DESCRIPTION)]
#: Cursor of a list whose items are numbered: events, versions.
NumberCursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,9}$", description=_DESCRIPTION)]


class ListOf(BaseModel, Generic[Item]):
    """One page of a list. Send `next_cursor` as `?cursor=` to get the next one."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = False
    next_cursor: str | None = None

    @classmethod
    def of(cls, page: Page[Row], item: Callable[[Row], Item]) -> ListOf[Item]:
        """Convert each row of a page with `item`."""
        cursor = page.next_cursor
        return cls(data=[item(row) for row in page.items], has_more=cursor is not None, next_cursor=cursor)
