"""Numbers: the one measured value of a row, such as the target of a regression."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ml.data.cell_values import to_single_number, to_value
from ml.data.column_types._missing_marks import Mark, MarkedNumbers
from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

#: Format of a stored number.
NUMBER_FORMAT: Final = "<d"


class NumberType(ColumnType[float]):
    """Rows contain a finite float64. A row without one is left out."""

    name = "number"
    noun = "number"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._values = MarkedNumbers()
        #: Number that stands for a missing one, whose rows are left out; None without one.
        self._missing: float | None = None

    def pack(self, value: float, at: Location) -> bytes:
        """Return the number as 8 bytes."""
        self._values.add(value)
        return struct.pack(NUMBER_FORMAT, value)

    def leave_out_mark(self) -> Mark | None:
        """Return the mark of a missing number, and leave it out of the facts.

        Call it after the last value.
        """
        mark = self._values.find_mark()
        self._missing = None if mark is None else mark.number
        return mark

    def find_doubtful_mark(self) -> Mark | None:
        """Return a number that may stand for a missing one."""
        return self._values.find_doubtful()

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
        (value,) = struct.unpack(NUMBER_FORMAT, data)
        return float(value)

    def facts(self) -> dict[str, Any]:
        """Return the mean and the range."""
        values = self._values.range(without=self._missing)
        return {"mean": values.mean, "min": values.min, "max": values.max} if values.count else {}
