"""Histories become codes."""

import numpy as np
import pytest

from ml.encoders.items import FIRST_ITEM, PADDING, START, ItemsConfig, ItemsEncoder
from ml.errors import DataError, PackageError

HISTORIES = [["b", "a", "c"], ["b", "a"], ["b", "d2", "d10"]]


def test_items_follow_by_popularity_and_of_equal_ones_by_name():
    assert ItemsEncoder.learn(HISTORIES, {}).items == ("b", "a", "c", "d2", "d10")


def test_a_history_begins_with_the_mark_and_the_padding_stands_behind():
    encoder = ItemsEncoder.learn(HISTORIES, {})

    read = encoder.collate(encoder.encode([["b", "c"], [], ["a"]]))

    b, a, c = FIRST_ITEM, FIRST_ITEM + 1, FIRST_ITEM + 2
    assert read["signal"].tolist() == [[START, b, c], [START, PADDING, PADDING], [START, a, PADDING]]
    assert read["mask"].tolist() == [[True, True, True], [True, False, False], [True, True, False]]


def test_items_that_training_did_not_see_are_left_out():
    encoder = ItemsEncoder.learn(HISTORIES, {})

    assert [row.tolist() for row in encoder.encode([["x", "b", "y"]])] == [[FIRST_ITEM]]
    assert encoder.code("x") is None


def test_only_the_latest_items_are_read():
    encoder = ItemsEncoder.learn(HISTORIES, {"length": 3})

    read = encoder.collate(encoder.encode([["a", "b", "c", "d2"]]))

    c, d2 = FIRST_ITEM + 2, FIRST_ITEM + 3
    assert read["signal"].tolist() == [[START, c, d2]]
    assert encoder.shape() == {"vocabulary": FIRST_ITEM + 5, "length": 3}


def test_rare_items_can_be_left_out_but_not_all():
    assert ItemsEncoder.learn(HISTORIES, {"least_count": 2}).items == ("b", "a")
    with pytest.raises(DataError, match="no item"):
        ItemsEncoder.learn(HISTORIES, {"least_count": 4})


def test_items_of_any_script_survive_the_disk(tmp_path):
    encoder = ItemsEncoder.learn([["电影", "a b"]], {})

    encoder.save(tmp_path)

    assert ItemsEncoder.load(tmp_path).items == encoder.items


@pytest.mark.parametrize("content", ["", "{}", "[1]", "[[]]"])
def test_a_damaged_list_of_items_is_a_package_error(content, tmp_path):
    ItemsEncoder(ItemsConfig(length=4), ["a"]).save(tmp_path)
    (tmp_path / "items.json").write_text(content)

    with pytest.raises(PackageError, match="cannot be read"):
        ItemsEncoder.load(tmp_path)


def test_a_batch_without_any_item_is_read():
    encoder = ItemsEncoder.learn(HISTORIES, {})

    np.testing.assert_array_equal(encoder.collate(encoder.encode([[], []]))["signal"], [[START], [START]])
