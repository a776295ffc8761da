"""Values in tables of measurements: numbers, categories, booleans, dates and missing values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

#: A value of a cell: a number, a truth value, a text, or None if missing.
CellValue = float | int | bool | str | None
#: How the values of a column are read. `omitted` columns are not read.
ColumnKind = Literal[
    "number", "decimal_comma", "category", "date", "date_day_first", "date_month_first", "date_dots", "omitted"
]

#: Texts that mean a missing value, in lower case: those of pandas, and `?` and `-` of published tables.
MISSING_TEXTS: Final = frozenset(
    {"", "?", "-", "na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none", "nat", "inf", "-inf"}
)
#: Largest integer that a float64 holds exactly.
MAX_EXACT_INTEGER: Final = 1 << 53
SECONDS_PER_DAY: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Words of a name: `userId`, `user_id` and `user id` have two.
WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
#: English words that end in "id" and name no id.
_WORDS_IN_ID: Final = frozenset(
    {
        *("acid", "arid", "avid", "bid", "did", "fid", "flaccid", "florid", "fluid", "frigid", "grid", "hid", "horrid"),
        *("humid", "hybrid", "insipid", "intrepid", "invalid", "invalids", "kid", "languid", "lid", "limpid", "lipid"),
        *(
            "liquid",
            "livid",
            "lucid",
            "lurid",
            "madrid",
            "mid",
            "amid",
            "morbid",
            "orchid",
            "pallid",
            "placid",
            "plaid",
        ),
        *(
            "putrid",
            "pyramid",
            "rabid",
            "rancid",
            "rapid",
            "rid",
            "rigid",
            "skid",
            "slid",
            "solid",
            "sordid",
            "splendid",
        ),
        *("squalid", "squid", "stolid", "stupid", "tepid", "timid", "torpid", "torrid", "turbid", "turgid", "undid"),
        *("valid", "vapid", "vivid", "eyelid", "overbid", "underbid", "candid", "covid", "cupid", "bifid", "forbid"),
    }
)
#: Endings of further such words: paid, unpaid, asteroid, void, druid.
_SUFFIXES_IN_ID: Final = ("aid", "oid", "druid")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
#: A code such as a postal code: as a number, it would lose its zeros.
_LEADING_ZERO: Final = re.compile(r"[+-]?0\d")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
#: Commas between thousands, a currency, a percent sign.
_DECORATED: Final = re.compile(r"([+-]?) ?[$€£¥]? ?((?!0\d)(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?) ?[%€$£]?")
#: A number that has a fraction with a decimal comma, or thousands.
_AMBIGUOUS: Final = re.compile(r"[+-]?\d{1,3},\d{3}")
_ISO_DATE: Final = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})([T ].+)?")
_SLASH_DATE: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})( .+)?")
_DOT_DATE: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})( .+)?")


def is_id_name(name: str) -> bool:
    """Return whether a column name ends in "id": `user_id`, `userId`, `hotelid`, but not `humid`."""
    words = WORD.findall(name)
    if not words:
        return False
    last = words[-1].lower()
    return last.endswith("id") and last not in _WORDS_IN_ID and not last.endswith(_SUFFIXES_IN_ID)


def to_value(cell: Any) -> CellValue:
    """Convert a table cell or a JSON value.

    Raises `ValueError` for a list, an object or bytes.
    """
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float | Decimal):
        return _to_number(cell)
    if isinstance(cell, str):
        return _parse_text(cell.strip())
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    raise ValueError("a cell of measurements is a number, a text, true or false")


def to_category(value: CellValue) -> str | None:
    """Return the name of a category; None if it is missing.

    It is equal for 3, 3.0 and "3", and for true and "True".
    """
    value = to_value(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_INTEGER:
        return str(int(value))
    return str(value)


def to_number(value: CellValue, kind: ColumnKind) -> float | None:
    """Return the number of a value; None if it is missing or none."""
    if isinstance(value, bool | int | float):
        return float(value)
    if kind == "decimal_comma" and isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
        return float(value.replace(".", "").replace(",", "."))
    if isinstance(value, str) and kind == "number" and (match := _DECORATED.fullmatch(value)):
        return float(match[1] + match[2].replace(",", ""))
    return None


def to_single_number(value: CellValue) -> float | None:
    """Return the number of a single value; None if it is missing or none.

    1,234 is None as well, since the comma may begin a fraction.
    """
    if isinstance(value, str) and _AMBIGUOUS.fullmatch(value):
        return None
    number = to_number(value, "number")
    return to_number(value, "decimal_comma") if number is None else number


def to_date(value: CellValue, kind: ColumnKind) -> datetime | None:
    """Return the date of a value; None if it is missing or none.

    A date without a time zone is taken as UTC.
    """
    if not isinstance(value, str):
        return None
    pattern, order = DATE_FORMS[kind]
    match = pattern.fullmatch(value.strip())
    if not match:
        return None
    year, month, day = (int(match[position]) for position in order)
    try:
        moment = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}{_clock(match[4])}")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def days_since_epoch(moment: datetime) -> float:
    """Return the days from 1970-01-01 UTC, with fractions."""
    return (moment - _EPOCH).total_seconds() / SECONDS_PER_DAY


#: Kind -> pattern of its dates, and the groups that hold year, month and day.
DATE_FORMS: Final[Mapping[str, tuple[re.Pattern[str], tuple[int, int, int]]]] = {
    "date": (_ISO_DATE, (1, 2, 3)),
    "date_day_first": (_SLASH_DATE, (3, 2, 1)),
    "date_month_first": (_SLASH_DATE, (3, 1, 2)),
    "date_dots": (_DOT_DATE, (3, 2, 1)),
}
#: Kind -> whether a text is a value of it. An ambiguous text is one of several kinds.
TEXT_FORMS: Final[Mapping[ColumnKind, Callable[[str], bool]]] = {
    "number": lambda text: _DECORATED.fullmatch(text) is not None,
    "decimal_comma": lambda text: _DECIMAL_COMMA.fullmatch(text) is not None,
    "date": lambda text: to_date(text, "date") is not None,
    "date_month_first": lambda text: to_date(text, "date_month_first") is not None,
    "date_day_first": lambda text: to_date(text, "date_day_first") is not None,
    "date_dots": lambda text: to_date(text, "date_dots") is not None,
}


def _to_number(cell: float | Decimal) -> CellValue:
    if isinstance(cell, int) and abs(cell) <= MAX_EXACT_INTEGER:
        return cell
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _parse_text(text: str) -> CellValue:
    lower = text.lower()
    if lower in MISSING_TEXTS:
        return None
    if lower in ("true", "false"):
        return lower == "true"
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.match(text):
        return _to_number(int(text)) if text.lstrip("+-").isdecimal() and len(text) < 300 else _to_number(float(text))
    return text


def _clock(text: str | None) -> str:
    """Return the time of a date in ISO form, with hours of two digits."""
    clock = (text or "").strip().removeprefix("T").strip()
    if not clock:
        return ""
    return f"T{clock if clock[1:2] != ':' else '0' + clock}".replace(" ", "")
