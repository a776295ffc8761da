import pytest

from ml.data.files.natural_sort import natural_sort_key


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("2", "10"), ("a2", "a10"), ("A1", "a2"), ("b 3", "b 20"), ("a9", "B"), ("09", "10"), ("A", "a"), ("1", "a")],
)
def test_numbers_sort_by_value_and_characters_without_case(earlier, later):
    assert natural_sort_key(earlier) < natural_sort_key(later)


def test_numbers_of_any_length_are_compared():
    assert natural_sort_key("9" * 100_000) < natural_sort_key("1" + "0" * 100_000)
