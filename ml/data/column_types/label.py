"""Labels: the one class of a row. Kept as codes, since splits and classes are decided on them (see `staging`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.base import Kind
from ml.data.issues import Refused

if TYPE_CHECKING:
    from ml.data.issues import Place

LONGEST_LABEL: Final = 200


class LabelKind(Kind[str]):
    """A row holds the name of its class. Empty where there is none."""

    name = "label"
    noun = "label"
    distinct = False

    def pack(self, value: str, at: Place) -> bytes:
        """The name without the blanks around it."""
        label = value.strip()
        if len(label) > LONGEST_LABEL:
            raise Refused("label_too_long", found=label)
        return label.encode()

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """As it is written; a missing value is no label. Raises `Refused` where there are several."""
        if isinstance(cell, list | dict):
            raise Refused("label_not_plain", found=cell, expected="one name or number")
        if isinstance(cell, bytes):
            return cell.decode("utf-8", "replace")
        return "" if cell is None else str(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """The name."""
        return data.decode()
