"""Labels: the one class of a row. Kept as codes, since splits and classes are decided on them (see `staging`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import Location

MAX_LABEL_CHARACTERS: Final = 200


class LabelType(ColumnType[str]):
    """A row holds the name of its class. Empty where there is none."""

    name = "label"
    noun = "label"
    distinct = False

    def pack(self, value: str, at: Location) -> bytes:
        """The name without the blanks around it."""
        label = value.strip()
        if len(label) > MAX_LABEL_CHARACTERS:
            raise DataRejected("label_too_long", actual=label)
        return label.encode()

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """As it is written; a missing value is no label. Raises `DataRejected` where there are several."""
        if isinstance(cell, list | dict):
            raise DataRejected("label_not_plain", actual=cell, expected="one name or number")
        if isinstance(cell, bytes):
            return cell.decode("utf-8", "replace")
        return "" if cell is None else str(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """The name."""
        return data.decode()
