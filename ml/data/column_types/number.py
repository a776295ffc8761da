"""Numbers: the one measured value of a row, such as the target of a regression."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ml.data.cell_values import to_single_number, to_value
from ml.data.column_types._running_range import RunningRange
from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

_FORMAT: Final = "<d"


class NumberType(ColumnType[float]):
    """Rows contain a finite float64. A row without one is left out."""

    name = "number"
    noun = "number"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._values = RunningRange()

    def pack(self, value: float, at: Location) -> bytes:
        """Return the number as 8 bytes."""
        self._values.add(value)
        return struct.pack(_FORMAT, value)

    @classmethod
    def from_cell(cls, cell: Any) -> float:
        """Return the number in a cell; a currency or a percent sign is left out."""
        try:
            value = to_value(cell)
        except ValueError:
            raise DataRejected("value_not_a_number", actual=cell, expected="a number") from None
        if value is None:
            raise DataRejected("value_missing")
        number = to_single_number(value)
        if number is None:
            raise DataRejected("value_not_a_number", actual=cell, expected="a number, such as 1234.5")
        return number

    @classmethod
    def unpack(cls, data: bytes) -> float:
        """Return the number."""
        (value,) = struct.unpack(_FORMAT, data)
        return float(value)

    def facts(self) -> dict[str, Any]:
        """Return the mean and the range."""
        values = self._values
        return {"mean": values.mean, "min": values.min, "max": values.max} if values.count else {}
