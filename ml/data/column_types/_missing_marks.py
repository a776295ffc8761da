"""Numbers that stand for a missing one, such as -999, beside numbers that are measured."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ml.data.column_types._running_range import RunningRange

#: Numbers that climate, medical and survey data write where nothing was measured.
_MARKS: Final = frozenset(
    {
        *(-99.0, -99.9, -999.0, -999.9, -999.99, -9999.0, -9999.9, -99999.0, -999999.0),
        *(999.0, 999.9, 9999.0, 9999.9, 99999.0, 999999.0),
    }
)
#: Numbers that may be measured as well.
_DOUBTFUL: Final = frozenset({-1.0, -9.0})
#: A number that stands there once may be measured.
_MIN_COUNT: Final = 2
#: Minimum distance of a mark from all other numbers, in units of their range.
_MIN_DISTANCE: Final = 2.0


class Mark(NamedTuple):
    """A number that stands for a missing one, and its number of rows."""

    number: float
    rows: int


class MarkedNumbers:
    """Numbers of a column; those that may be marks are counted apart from the others."""

    def __init__(self) -> None:
        self._others = RunningRange()
        self._counts: Counter[float] = Counter()

    def add(self, number: float) -> None:
        """Count a number."""
        if number in _MARKS or number in _DOUBTFUL:
            self._counts[number] += 1
        else:
            self._others.add(number)

    def find_mark(self) -> Mark | None:
        """Return the number that surely stands for a missing one.

        It is negative where no other is, or far from all others.
        """
        marks = [mark for mark in self._counts if mark in _MARKS]
        return self._judge(marks[0]) if len(marks) == 1 else None

    def find_doubtful(self) -> Mark | None:
        """Return -1 or -9 if no other number is negative."""
        doubtful = [mark for mark in self._counts if mark in _DOUBTFUL]
        count = self._counts[doubtful[0]] if len(doubtful) == 1 else 0
        others = self._others
        is_alone = count >= _MIN_COUNT and others.count > 0 and others.min >= 0
        return Mark(doubtful[0], count) if is_alone and others.max > -doubtful[0] else None

    def range(self, *, without: float | None = None) -> RunningRange:
        """Return count, mean and range of all numbers but one."""
        numbers = RunningRange()
        numbers.count, numbers.total = self._others.count, self._others.total
        numbers.min, numbers.max = self._others.min, self._others.max
        for number, count in self._counts.items():
            if number != without:
                numbers.add(number)
                numbers.count, numbers.total = numbers.count + count - 1, numbers.total + number * (count - 1)
        return numbers

    def _judge(self, number: float) -> Mark | None:
        others, count = self.range(without=number), self._counts[number]
        if count < _MIN_COUNT or not others.count:
            return None
        is_only_negative = number < 0 <= others.min
        distance = max(others.min - number, number - others.max)
        is_far = distance > _MIN_DISTANCE * (others.max - others.min) and others.max > others.min
        return Mark(number, count) if is_only_negative or is_far else None
