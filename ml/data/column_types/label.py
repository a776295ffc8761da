"""Labels: the one class of a row.

They are stored as codes, since splits and classes are decided on them (`ml.data.importing.staging`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.base import ColumnType, cell_to_text
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import Location

MAX_LABEL_CHARACTERS: Final = 200


class LabelType(ColumnType[str]):
    """Rows contain the name of their class, empty for a row without one."""

    name = "label"
    noun = "label"
    is_identifying = False

    def pack(self, value: str, at: Location) -> bytes:
        """Return the name without surrounding whitespace."""
        label = value.strip()
        if len(label) > MAX_LABEL_CHARACTERS:
            raise DataRejected("label_too_long", actual=label, expected=f"at most {MAX_LABEL_CHARACTERS} characters")
        return label.encode()

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """Return the label in a cell, empty if missing; raises `DataRejected` if there are several."""
        if isinstance(cell, list) and len(cell) == 1:
            cell = cell[0]
        if isinstance(cell, list | dict):
            raise DataRejected("label_not_plain", actual=cell, expected="one name or number")
        return cell_to_text(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """Return the name."""
        return data.decode()
