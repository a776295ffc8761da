"""Item tables: kinds of columns, texts of items, and the file."""

from pathlib import Path

import pytest

from ml.data.item_table import ItemColumn, ItemTable, describe_item, detect_column, to_cell, to_number

TABLE = ItemTable.of(
    ["a", "b", "c", "d"],
    {
        "title": ["Green tea", "Black tea", "Tent, large", ""],
        "tags": ["drink|warm", "drink|warm", "outdoor", "outdoor"],
        "price": ["3.5", "$4", "1,200.00", ""],
    },
)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        (["3", "$4.50", "1,200", ""], ItemColumn(kind="number")),
        (["a|b", "b", "a|b"], ItemColumn(kind="categories", delimiter="|")),
        (["red, green", "green", "red"], ItemColumn(kind="categories", delimiter=",")),
        (["ACME", "ACME", "Other", "Other"], ItemColumn(kind="categories")),
        (["Heat (1995)", "Casino (1995)", "Heat 2"], ItemColumn(kind="text")),
        (["", "n/a"], ItemColumn(kind="text")),
    ],
)
def test_the_kind_of_a_column_is_detected(cells: list[str], column: ItemColumn) -> None:
    assert detect_column(cells) == column


def test_the_text_of_an_item_has_all_its_columns() -> None:
    assert TABLE.text(0) == "Green tea. tags: drink, warm. price: 3.5"
    assert TABLE.text(3) == "tags: outdoor"


def test_fields_of_no_column_come_last_in_a_text() -> None:
    assert describe_item(TABLE.columns, {"color": "red", "title": "Rope"}) == "Rope. red"


def test_values_of_json_become_cells() -> None:
    values = [None, 3.0, 2.5, True, ["a", "b"], " x "]
    assert [to_cell(value) for value in values] == ["", "3", "2.5", "true", "a|b", "x"]


def test_numbers_may_have_a_currency_and_thousands() -> None:
    assert [to_number(cell) for cell in ("$1,200.50", "3 €", "free", "nan")] == [1200.5, 3.0, None, None]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    TABLE.write(tmp_path)
    assert ItemTable.read(tmp_path, TABLE.columns) == TABLE


def test_the_first_of_joined_tables_describes_an_item() -> None:
    other = ItemTable.of(["a", "e"], {"title": ["Other", "Map"], "size": ["1", "2"]})
    joined = ItemTable.join([TABLE, other])

    assert set(joined.ids) == {"a", "b", "c", "d", "e"}
    assert joined.fields(joined.row_by_id["a"])["title"] == "Green tea"
    assert joined.fields(joined.row_by_id["e"])["size"] == "2"


def test_differences_from_the_histories_are_counted() -> None:
    counts = TABLE.count_differences({"a", "z"})
    assert counts == {"items_without_text": 1, "items_without_interactions": 3}
