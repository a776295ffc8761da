"""Targets of regressions: finite numbers, or a reason."""

import pytest

from ml.data.column_types.number import NumberType
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits


@pytest.mark.parametrize(
    ("cell", "value"), [("12.5", 12.5), ("12,5", 12.5), (3, 3.0), ("1e3", 1000.0), (True, 1.0), ("$1,234.50", 1234.5)]
)
def test_a_number_survives_storage(cell, value):
    column = NumberType(issues=IssueLog(max_samples=1), limits=Limits())

    assert NumberType.unpack(column.pack(NumberType.from_cell(cell), Location())) == value
    assert column.facts() == {"mean": value, "min": value, "max": value}


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "value_missing"),
        (None, "value_missing"),
        ("nan", "value_missing"),
        ("1,234", "value_not_a_number"),
        ("many", "value_not_a_number"),
        ([1], "value_not_a_number"),
        ("007", "value_not_a_number"),
    ],
)
def test_a_cell_without_a_number_is_rejected_with_its_reason(cell, code):
    with pytest.raises(DataRejected) as rejection:
        NumberType.from_cell(cell)
    assert rejection.value.code == code
