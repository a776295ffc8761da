"""Records as inputs: what is accepted, and what is said about the rest."""

import pytest

from ml.errors import InputError
from ml.wire import RecordInput
from ml.wire.record import read_record, record_schema

KINDS = {"size": "number", "mass": "decimal_comma", "site": "category", "day": "date", "odd name (cm)": "number"}


@pytest.mark.parametrize(
    "record",
    [
        {"size": 1, "mass": "1,5", "site": "a", "day": "2026-11-28"},
        {"site": 3},
        {"site": True},
        {"odd name (cm)": 1e300},
        {"size": None},
        {"mass": 2.5},
    ],
)
def test_values_of_the_kind_of_their_column_are_read(record):
    assert read_record(record, KINDS, parameters={}) == record


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"size": "1"}, "size"),
        ({"size": True}, "size"),
        ({"size": 10**400}, "size"),
        ({"size": [1]}, "size"),
        ({"mass": "much"}, "mass"),
        ({"site": {"a": 1}}, "site"),
        ({"site": "x" * 10_001}, "site"),
        ({"day": "tomorrow"}, "day"),
        ({"day": 3}, "day"),
        ({"sise": 1}, "sise"),
    ],
)
def test_other_values_and_unknown_fields_are_reported_with_their_place(record, path):
    with pytest.raises(InputError) as error:
        read_record({"site": "a", **record}, KINDS, parameters={})
    (finding,) = error.value.findings
    assert finding.path == path
    assert finding.hint


@pytest.mark.parametrize("raw_input", [b"bytes", 3, [1], {}])
def test_an_input_is_an_object_with_a_field(raw_input):
    with pytest.raises(InputError) as error:
        read_record(raw_input, KINDS, parameters={})
    assert error.value.hint


def test_parameters_are_fields_of_every_input():
    assert read_record({"size": 1}, KINDS, parameters={"size": 2, "site": "a"}) == {"size": 1, "site": "a"}


def test_a_row_of_a_dataset_may_have_columns_that_the_model_does_not_read():
    row = RecordInput.model_validate({"size": "1,000", "id": 7})

    assert read_record(row, KINDS, parameters={}) == {"size": "1,000"}


def test_a_base_model_reads_any_fields():
    record = {"size": 1.5, "site": "a", "wet": True, "day": None}

    assert RecordInput.value_of(record, parameters={}) == record
    for raw_input in ({"size": [1]}, {}, [1], b"1"):
        with pytest.raises(InputError):
            RecordInput.value_of(raw_input, parameters={})


def test_the_schema_lists_the_columns():
    schema = record_schema(KINDS)

    assert list(schema["properties"]) == list(KINDS)
    assert schema["additionalProperties"] is False
