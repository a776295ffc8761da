"""Histories: the item ids of a user's interactions, the latest last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types._running_range import RunningRange
from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

MAX_ITEM_CHARACTERS: Final = 200
MAX_HISTORY_ITEMS: Final = 1_000_000


class ItemsType(ColumnType[list[str]]):
    """Rows contain item ids as strings.

    Two users may have equal histories, so these do not identify rows.
    """

    name = "items"
    noun = "history"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._lengths = RunningRange()
        self._item_ids: set[str] = set()

    def pack(self, value: Sequence[Any], at: Location) -> bytes:
        """Return the ids as JSON."""
        items = [parse_item(item) for item in value]
        if not items:
            raise DataRejected("history_empty")
        if len(items) > MAX_HISTORY_ITEMS:
            expected = f"at most {MAX_HISTORY_ITEMS:,} items"
            raise DataRejected("history_too_long", actual=f"{len(items):,} items", expected=expected)
        self._lengths.add(len(items))
        self._item_ids.update(items)
        return json.dumps(items, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> list[Any]:
        """Return the ids in a table cell.

        A cell holds a list, a JSON list as text, or ids separated by spaces or bars.
        """
        if isinstance(cell, list | tuple):
            return list(cell)
        if not isinstance(cell, str):
            raise DataRejected("history_not_a_list", actual=cell, expected='["one", "two"]')
        text = cell.strip()
        if not text.startswith("["):
            return text.replace("|", " ").split()
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            raise DataRejected("history_not_a_list", actual=cell, expected='["one", "two"]') from None
        return list(items)

    @classmethod
    def unpack(cls, data: bytes) -> list[str]:
        """Return the ids."""
        items: list[str] = json.loads(data)
        return items

    def facts(self) -> dict[str, Any]:
        """Return the number of distinct items, and the lengths of histories."""
        lengths = self._lengths
        return {"items": len(self._item_ids), "mean_items": lengths.mean, "max_items": int(lengths.max)}


def parse_item(item: Any) -> str:
    """Return an item id as a string, 1.0 as 1; raises `DataRejected`."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise DataRejected("item_invalid", actual=item, expected="a name or an integer")
    name = str(item).strip()
    if not name:
        raise DataRejected("item_missing")
    if len(name) > MAX_ITEM_CHARACTERS:
        raise DataRejected("item_invalid", actual=name, expected=f"at most {MAX_ITEM_CHARACTERS} characters")
    return name
