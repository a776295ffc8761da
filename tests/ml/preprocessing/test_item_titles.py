"""Titles of items: their column, the file of a model, and titles of new items."""

from pathlib import Path

import pytest

from ml.preprocessing.item_titles import MAX_TITLE_CHARACTERS, ItemTitles, choose_column


@pytest.mark.parametrize(
    ("names", "texts", "column"),
    [
        (["price", "Product Name", "title"], [], "title"),
        (["price", "Product Name"], [], "Product Name"),
        (["genre", "about"], ["about"], "about"),
        (["genre"], [], None),
    ],
)
def test_the_column_of_titles_is_named_so_or_the_first_text(
    names: list[str], texts: list[str], column: str | None
) -> None:
    assert choose_column(names, texts) == column


def test_titles_survive_their_file_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    titles = ItemTitles.of(["p1", "p2", "p3"], {"title": ["Moka  pot", "", "x" * 500], "price": ["1", "2", "3"]})
    titles.save(tmp_path / "titles.json")
    loaded = ItemTitles.load(tmp_path / "titles.json")

    assert (loaded.title_of("p1"), loaded.title_of("p2"), loaded.title_of("p9")) == ("Moka pot", None, None)
    assert len(loaded.title_of("p3") or "") == MAX_TITLE_CHARACTERS


def test_a_new_item_has_the_title_of_its_own_fields() -> None:
    titles = ItemTitles("title", {})
    assert titles.title_of("x", {"title": "Lamp", "name": "L"}) == "Lamp"
    assert titles.title_of("x", {"about": "a lamp"}) == "a lamp"


@pytest.mark.parametrize("content", ["[]", '{"titles": {"a": 1}}', "{"])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "titles.json").write_text(content)
    with pytest.raises(ValueError, match="is damaged"):
        ItemTitles.load(tmp_path / "titles.json")
