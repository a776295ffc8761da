"""Times of interactions: seconds, milliseconds, ISO 8601, and dates as Americans and Germans write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from ml.data.issues import DataRejected

#: Exclusive upper bound of a timestamp, units per second, name of the unit. Seconds reach 1e11 in the year 5138;
#: milliseconds reached it in 1973.
UNITS: Final = (
    (1e11, 1.0, "seconds"),
    (1e14, 1e3, "milliseconds"),
    (1e17, 1e6, "microseconds"),
    (1e20, 1e9, "nanoseconds"),
)
#: 28.11.2026, 11/28/2026 or 2026/11/28, and perhaps a time of day.
_DATE: Final = re.compile(r"(\d{1,4})([./])(\d{1,2})\2(\d{1,4})(?:[ T,]+(\d.*))?")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)? ?([AaPp])?\.?(?:[Mm]\.?)?")
#: Dates in words, and the form of Amazon's reviews.
_FORMATS: Final = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%m %d, %Y", "%d-%b-%Y", "%Y%m%d %H:%M:%S")
_EXPECTED: Final = "seconds or milliseconds since 1970, or a date like 2026-11-25"
_DATE_UNIT: Final = "a date"
#: Range of a number that is a time without a name that says so: 1990 to 2040, in seconds.
_EARLIEST_SECONDS: Final = 631_152_000
_LATEST_SECONDS: Final = 2_208_988_800


class ParsedTime(NamedTuple):
    """A time in seconds since 1970, with the month first and the day first."""

    month_first: float | None
    day_first: float | None
    unit: str

    @property
    def is_open(self) -> bool:
        """True if the order of day and month matters."""
        return self.month_first is not self.day_first and self.month_first != self.day_first


def parse_time(cell: Any) -> ParsedTime:
    """Return a time; raises `DataRejected` if the cell is none."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return _parse_date(cell)
    for limit, per_second, unit in UNITS:
        if 0 <= number < limit:
            return ParsedTime(number / per_second, number / per_second, unit)
    raise DataRejected("timestamp_invalid", actual=cell, expected=_EXPECTED)


def is_time(cell: Any) -> bool:
    """Return whether a cell is a date, or a number from 1990 to 2040."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        try:
            _parse_date(cell)
        except DataRejected:
            return False
        return True
    if not math.isfinite(number):
        return False
    return any(_EARLIEST_SECONDS <= number / per_second < _LATEST_SECONDS for _, per_second, _ in UNITS)


def _parse_date(cell: Any) -> ParsedTime:
    if isinstance(cell, datetime):
        return _to_time(cell, cell)
    text = str(cell).strip()
    match = _DATE.fullmatch(text)
    if match:
        return _parse_numeric_date(match, cell)
    for parse in (datetime.fromisoformat, *(_parser(form) for form in _FORMATS), parsedate_to_datetime):
        try:
            date = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return _to_time(date, date)
    raise DataRejected("timestamp_invalid", actual=cell, expected=_EXPECTED)


def _parser(form: str) -> Any:
    return lambda text: datetime.strptime(text, form)  # a date without a zone is in UTC, see `_seconds`


def _parse_numeric_date(match: re.Match[str], cell: Any) -> ParsedTime:
    """Return a date of numbers.

    With dots the day is first, with slashes it may be the month.
    """
    first, sign, second, third, clock = match.groups()
    if len(first) == 4:
        date = _to_date(first, second, third, clock)
        dates = (date, date)
    elif sign == ".":
        date = _to_date(third, second, first, clock)
        dates = (date, date)
    else:
        dates = (_to_date(third, first, second, clock), _to_date(third, second, first, clock))
    if dates == (None, None):
        raise DataRejected("timestamp_invalid", actual=cell, expected=_EXPECTED)
    return _to_time(*dates)


def _to_date(year: str, month: str, day: str, clock: str | None) -> datetime | None:
    """Return a date, or None if there is none.

    Two digits are a year from 1970 to 2069.
    """
    number = int(year)
    if len(year) <= 2:
        number += 1900 if number >= 70 else 2000
    try:
        date = datetime(number, int(month), int(day), tzinfo=UTC)
        return date if clock is None else _add_clock(date, clock)
    except ValueError:
        return None


def _add_clock(date: datetime, clock: str) -> datetime:
    match = _CLOCK.fullmatch(clock.strip())
    if match is None:
        raise ValueError(clock)
    hour, minute, second, fraction, half = match.groups()
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            raise ValueError(clock)
        hours = hours % 12 + 12 * (half.lower() == "p")
    microseconds = int(float(f"0.{fraction}") * 1e6) if fraction else 0
    return date.replace(hour=hours, minute=int(minute), second=int(second or 0), microsecond=microseconds)


def _to_time(month_first: datetime | None, day_first: datetime | None) -> ParsedTime:
    return ParsedTime(_seconds(month_first), _seconds(day_first), _DATE_UNIT)


def _seconds(date: datetime | None) -> float | None:
    if date is None:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
