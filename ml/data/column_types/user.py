"""Users: the id of whom a history is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.data.column_types.base import ColumnType
from ml.data.column_types.items import parse_item

if TYPE_CHECKING:
    from ml.data.issues import Location


class UserType(ColumnType[str]):
    """Rows contain the id as text.

    One user may have several rows: histories grow from split to split.
    """

    name = "user"
    noun = "user"
    is_identifying = False

    def pack(self, value: str, at: Location) -> bytes:
        """Return the id in UTF-8; raises `DataRejected` for an id that is too long."""
        return parse_item(value).encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """Return the id in a cell, 1.0 as 1; raises `DataRejected` without one."""
        return parse_item(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """Return the id."""
        return data.decode()
