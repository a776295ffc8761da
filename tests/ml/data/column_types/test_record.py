"""Kinds of the columns of records, and what is reported about them."""

import numpy as np
import pytest

from ml.data.column_types.record import RecordType
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits

ROWS = 40


def judge(**columns):
    """Return the kind of each column, and the reasons in the report."""
    issues = IssueLog(max_samples=10)
    record_type = RecordType(issues=issues, limits=Limits())
    for row in range(ROWS):
        record_type.pack({name: values[row % len(values)] for name, values in columns.items()}, Location())
    record_type.finish()
    kinds = {name: column["kind"] for name, column in record_type.facts()["columns"].items()}
    return kinds, {issue.code: [sample["found"] for sample in issue.sample] for issue in issues.entries}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("number", [1.5, 2.5, None, 2]),
        ("number", ["1,234", "5,678", 12]),
        ("number", [0, 1]),
        ("decimal_comma", ["1,5", "2,25", "3"]),
        ("category", ["red", "green", None]),
        ("category", [True, False]),
        ("category", ["true", "FALSE"]),
        ("category", ["01067", "99084", "20095"]),
        ("category", ["yes", None]),
        ("date", ["2026-01-02", "2026-03-04"]),
        ("date_dots", ["02.01.2026", "31.12.2026"]),
        ("date_day_first", ["02/01/2026", "31/12/2026"]),
        ("date_month_first", ["01/02/2026", "12/31/2026"]),
    ],
)
def test_the_kind_of_a_column_is_that_of_its_values(kind, values):
    kinds, report = judge(x=values, beside=[1, 2, 3])

    assert kinds == {"x": kind, "beside": "number"}
    assert report == {}


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("x", [7], "it has one value in all rows"),
        ("x", [None], "it has no values"),
        ("x", [[1, 2]], "lists, objects or bytes"),
        ("x", range(100, 100 + ROWS), "it numbers the rows"),
        ("customer_id", [row * 17 + 5 for row in range(ROWS)], "it is an id"),
        ("userId", [row * 17 + 5 for row in range(ROWS)], "it is an id"),
        ("x", [f"{row:x}-{row}" for row in range(ROWS)], "it is an id"),
        ("x", [f"it was sold for {row}" for row in range(ROWS)], "it is free text"),
        ("x", [f"t{row * 3 // 4}" for row in range(ROWS)], "more than half of its values are different"),
    ],
)
def test_a_column_that_says_nothing_is_omitted_with_its_reason(name, values, reason):
    kinds, report = judge(**{name: list(values)}, beside=[1, 2, 3])

    assert kinds == {name: "omitted", "beside": "number"}
    assert reason in report["feature_omitted"][0]


def test_measurements_that_all_differ_are_no_ids():
    kinds, report = judge(
        mass=np.random.default_rng(0).normal(size=ROWS).tolist(), count=[3 * row for row in range(ROWS)]
    )

    assert kinds == {"mass": "number", "count": "number"}
    assert report == {}


def test_a_few_values_of_another_form_count_as_missing_and_are_reported():
    kinds, report = judge(x=[*range(39), "broken"])

    assert kinds == {"x": "number"}
    assert report["feature_values_not_read"] == ["x: 1 of 40 values are no numbers"]


def test_dates_that_fit_two_orders_are_reported():
    kinds, report = judge(x=["01/02/2026", "03/04/2026", "05/06/2026"])

    assert kinds == {"x": "date_month_first"}
    assert report["dates_ambiguous"] == ["x: read as month/day/year"]


def test_a_table_of_nothing_but_ids_has_no_features():
    _, report = judge(id=list(range(ROWS)))

    assert "no_features" in report


@pytest.mark.parametrize(
    ("cell", "code"),
    [({"a": None, "b": "NA"}, "record_empty"), ({str(n): 1 for n in range(10_001)}, "table_too_large")],
)
def test_a_record_without_values_or_with_too_many_is_rejected(cell, code):
    record_type = RecordType(issues=IssueLog(max_samples=1), limits=Limits())

    with pytest.raises(DataRejected) as rejection:
        record_type.pack(cell, Location())
    assert rejection.value.code == code


def test_a_record_is_an_object():
    with pytest.raises(DataRejected) as rejection:
        RecordType.from_cell([1, 2])
    assert rejection.value.code == "record_not_an_object"


def test_a_record_is_stored_as_it_was_read():
    record_type = RecordType(issues=IssueLog(max_samples=1), limits=Limits())

    packed = record_type.pack({"a": "5.10", "b": "north", "c": "", "d": "True"}, Location())

    assert RecordType.unpack(packed) == {"a": 5.1, "b": "north", "d": True}
