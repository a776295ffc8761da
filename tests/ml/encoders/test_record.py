"""Records become numbers, quantiles, marks and codes that training and serving share."""

import numpy as np
import pytest

from ml.encoders.record import RecordEncoder, detected_kinds
from ml.errors import DataError
from tests.support.ml import samples

KINDS = {"size": "number", "site": "category", "day": "date", "id": "omitted"}
RECORDS = [
    {"size": float(row), "site": ("a", "b", "b")[row % 3], "day": f"2026-03-{1 + row % 28:02}", "id": row}
    for row in range(101)
]


def learn(records=RECORDS, **options):
    return RecordEncoder.learn(records, {"detected_kinds": KINDS, **options})


def number(encoder, name, part=None):
    """Return the position of a number among the numbers."""
    return [(column.name, column.part) for column in encoder.config.numbers].index((name, part))


def encode(encoder, **record):
    """Return the values of each number, float32 [N, 3], and the codes of categories."""
    (row,) = encoder.encode([record])
    count = 3 * len(encoder.config.numbers)
    return row[:count].reshape(-1, 3), row[count:].tolist()


def test_a_number_is_normalized_and_ranked():
    encoder = learn()
    values = [encode(encoder, size=size)[0][number(encoder, "size")] for size in (0, 50, 75, 100)]

    deviation = np.std(np.arange(101))
    np.testing.assert_allclose([value[0] for value in values], np.array([-50, 0, 25, 50]) / deviation, rtol=1e-5)
    np.testing.assert_allclose([value[1] for value in values], [0, 0.5, 0.75, 1], atol=1e-6)
    assert [value[2] for value in values] == [0, 0, 0, 0]


def test_a_number_beyond_all_others_is_bounded():
    encoder = learn()

    value = encode(encoder, size=1e300)[0][number(encoder, "size")]
    assert value.tolist() == [8, 1, 0]


@pytest.mark.parametrize("record", [{}, {"size": None}, {"size": ""}, {"size": "many"}])
def test_a_missing_number_has_a_mark_of_its_own(record):
    encoder = learn()

    assert encode(encoder, **record)[0][number(encoder, "size")].tolist() == [0, 0, 1]


def test_categories_have_codes_by_frequency_and_others_are_unknown():
    encoder = learn()

    codes = [encode(encoder, **record)[1] for record in ({"site": "new"}, {}, {"site": "b"}, {"site": "a"})]
    assert codes == [[0], [1], [2], [3]]
    assert encoder.pop_losses() == {"with a category that is not in the training data": 1}


def test_codes_of_columns_follow_each_other():
    encoder = RecordEncoder.learn(
        [{"x": value, "y": value} for value in "aab"], {"detected_kinds": {"x": "category", "y": "category"}}
    )

    assert encoder.encode([{"x": "b", "y": "a"}]).tolist() == [[3, 6]]
    assert encoder.shape() == {"numbers": 0, "quantile_bins": 2, "categorical": 2, "categories": 8}


def test_a_date_is_as_many_numbers_as_parts_of_it_vary():
    encoder = learn()

    parts = [column.part for column in encoder.config.numbers if column.name == "day"]
    assert parts == ["days", "day_of_year", "weekday"]


def test_kinds_of_the_user_go_before_detected_ones():
    encoder = learn(kinds={"size": "category", "id": "number", "day": "omitted"})

    assert encoder.kinds == {"size": "category", "site": "category", "id": "number"}


def test_a_kind_of_a_column_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="no values in a column 'sise'; columns: size, site, day, id"):
        learn(kinds={"sise": "number"})


def test_rows_without_anything_to_learn_from_are_refused():
    with pytest.raises(DataError, match="no column"):
        learn(kinds=dict.fromkeys(KINDS, "omitted"))


def test_rare_categories_beyond_the_limit_are_unknown():
    encoder = RecordEncoder.learn(
        [{"x": value} for value in "aaabbc"], {"detected_kinds": {"x": "category"}, "max_categories": 2}
    )

    assert encoder.encode([{"x": "b"}, {"x": "c"}]).tolist() == [[3], [0]]


@pytest.mark.parametrize(("rows", "bins"), [(20, 2), (320, 10), (5000, 16)])
def test_there_are_more_bins_for_more_rows(rows, bins):
    assert learn([{"size": float(row)} for row in range(rows)], detected_kinds={"size": "number"}).config.bins == bins


def test_hidden_values_are_missing_numbers_and_unknown_or_missing_categories():
    encoder = learn()
    encoded = encoder.encode(RECORDS[:3])
    columns = len(encoder.config.numbers) + 1
    is_hidden = np.zeros((3, columns), dtype=bool)
    is_hidden[1:] = True

    hidden = encoder.hide(encoded, is_hidden)

    np.testing.assert_array_equal(hidden[0], encoded[0])
    np.testing.assert_array_equal(hidden[1], [*[0, 0, 1] * (columns - 1), 1])
    np.testing.assert_array_equal(hidden[2], [*[0, 0, 1] * (columns - 1), 0])


def test_other_models_get_the_same_table():
    encoder = learn()
    numbers, codes = encoder.to_table(encoder.encode([{"size": 50.0, "site": "a"}, {"site": "new"}]))

    assert numbers[0, number(encoder, "size")] == 0
    assert np.isnan(numbers[1]).all()
    assert codes.tolist() == [[3], [0]]


def test_a_dataset_without_a_column_that_is_read_is_a_loss():
    encoder, other = learn(), samples.dataset({"features": "record", "value": "number"}).summary

    assert encoder.data_loss(encoder.config, other) == "reads the columns size, day, site; the dataset has no size, day"
    fitting = RecordEncoder.learn(samples.VALUES["record"](9), {})
    assert fitting.data_loss(fitting.config, other) is None


def test_the_kinds_of_a_dataset_are_those_of_its_import():
    summary = samples.dataset({"features": "record", "value": "number"}).summary

    assert detected_kinds(summary) == {"length": "number", "width": "number", "site": "category"}
