"""Numbers of a history: the rating or the weight of each of its items."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ml.data.column_types._running_range import RunningRange
from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits


class NumbersType(ColumnType[list[float | None]]):
    """Rows contain one finite number per item, or None for a missing one."""

    name = "numbers"
    noun = "list of numbers"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._values = RunningRange()

    def pack(self, value: Sequence[float | None], at: Location) -> bytes:
        """Return the numbers as JSON."""
        for number in value:
            if number is not None:
                self._values.add(number)
        return json.dumps(list(value), separators=(",", ":")).encode()

    @classmethod
    def from_cell(cls, cell: Any) -> list[float | None]:
        """Return the numbers in a cell; raises `DataRejected` for anything else."""
        if not isinstance(cell, list | tuple):
            raise DataRejected("history_not_a_list", actual=cell, expected="[4, 3.5]")
        return [_to_number(number) for number in cell]

    @classmethod
    def unpack(cls, data: bytes) -> list[float | None]:
        """Return the numbers."""
        numbers: list[float | None] = json.loads(data)
        return numbers

    def facts(self) -> dict[str, Any]:
        """Return the mean and the range."""
        values = self._values
        return {"mean": values.mean, "min": values.min, "max": values.max} if values.count else {}


def _to_number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataRejected("value_not_a_number", actual=value, expected="a number, such as 3.5")
    return number
