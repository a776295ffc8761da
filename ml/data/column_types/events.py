"""Events: what a user did with each item, such as view or purchase."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

#: Kinds of events of a dataset.
MAX_EVENTS: Final = 100
MAX_EVENT_CHARACTERS: Final = 60


class EventsType(ColumnType[list[str]]):
    """Rows contain the name of the event of each item.

    It is "" where the data names none.
    """

    name = "events"
    noun = "list of events"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._names: set[str] = set()

    def pack(self, value: Sequence[str], at: Location) -> bytes:
        """Return the names as JSON."""
        self._names.update(name for name in value if name)
        return json.dumps(list(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> list[str]:
        """Return the names in a cell; raises `DataRejected` unless it is a list."""
        if not isinstance(cell, list | tuple):
            raise DataRejected("history_not_a_list", actual=cell, expected='["view", "purchase"]')
        return ["" if name is None else str(name) for name in cell]

    @classmethod
    def unpack(cls, data: bytes) -> list[str]:
        """Return the names."""
        names: list[str] = json.loads(data)
        return names

    def facts(self) -> dict[str, Any]:
        """Return the names of all events."""
        return {"events": sorted(self._names)}
