"""Cells become numbers, categories, dates or missing values, alike in files and in requests."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from ml.data.cell_values import days_since_epoch, to_category, to_date, to_number, to_value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("5.1", 5.1),
        (" -3e2 ", -300.0),
        ("12", 12),
        ("007", "007"),
        ("True", True),
        ("false", False),
        (Decimal("1.5"), 1.5),
        (date(2026, 11, 28), "2026-11-28"),
        (timedelta(minutes=2), 120.0),
        (10**400, None),
        ("9" * 400, None),
        (float("nan"), None),
        (float("inf"), None),
        *((text, None) for text in ("", " ", "NA", "n/a", "NaN", "null", "None", "?", "-", "inf")),
        ("north", "north"),
    ],
)
def test_a_cell_becomes_a_value(cell, value):
    assert to_value(cell) == value
    assert type(to_value(cell)) is type(value)


@pytest.mark.parametrize("cell", [[1], {"a": 1}, b"bytes"])
def test_lists_objects_and_bytes_are_no_values(cell):
    with pytest.raises(ValueError, match="a number, a text, true or false"):
        to_value(cell)


def test_a_category_has_one_name_however_it_is_written():
    assert {to_category(value) for value in (3, 3.0, "3", "3.0")} == {"3"}
    assert {to_category(value) for value in (True, "true", "True", "TRUE")} == {"true"}
    assert to_category("03") == "03"
    assert to_category(None) is None


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        (2, "number", 2.0),
        (True, "number", 1.0),
        ("1,234", "number", 1234.0),
        ("$1,234.50", "number", 1234.5),
        ("-12 %", "number", -12.0),
        ("3.5 €", "number", 3.5),
        ("007", "number", None),
        ("12 km", "number", None),
        ("12,5", "number", None),
        ("12,5", "decimal_comma", 12.5),
        ("1.234,5", "decimal_comma", 1234.5),
        (3.5, "decimal_comma", 3.5),
        ("many", "number", None),
        (None, "number", None),
    ],
)
def test_a_number_is_read_as_its_column_writes_it(value, kind, number):
    assert to_number(value, kind) == number


@pytest.mark.parametrize(
    ("value", "kind", "moment"),
    [
        ("2026-11-28", "date", datetime(2026, 11, 28, tzinfo=UTC)),
        ("2026-11-28 14:30", "date", datetime(2026, 11, 28, 14, 30, tzinfo=UTC)),
        ("2026-11-28T14:30:05Z", "date", datetime(2026, 11, 28, 14, 30, 5, tzinfo=UTC)),
        ("2026/1/2", "date", datetime(2026, 1, 2, tzinfo=UTC)),
        ("28.11.2026", "date_dots", datetime(2026, 11, 28, tzinfo=UTC)),
        ("28/11/2026 9:05", "date_day_first", datetime(2026, 11, 28, 9, 5, tzinfo=UTC)),
        ("11/28/2026", "date_month_first", datetime(2026, 11, 28, tzinfo=UTC)),
        ("28/11/2026", "date_month_first", None),
        ("2026-02-30", "date", None),
        (20261128, "date", None),
    ],
)
def test_a_date_is_read_as_its_column_writes_it(value, kind, moment):
    assert to_date(value, kind) == moment


def test_a_date_with_a_time_zone_is_converted():
    assert days_since_epoch(to_date("1970-01-02T01:00:00+01:00", "date")) == 1.0
