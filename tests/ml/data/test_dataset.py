import numpy as np
import pytest

from ml.data.dataset import SUMMARY, Dataset
from ml.data.rows import ImageArray, Labels, Rows, SelectedRows
from ml.errors import DataError
from tests.support.ml.dataset_files import make_idx_pair, make_images, make_labels, make_png, make_zip, upload

IMAGES, NAMES = make_images(40), make_labels(40)


@pytest.fixture
def stored(tmp_path):
    report = upload(tmp_path, make_idx_pair(IMAGES, NAMES), splits={"train": 1})
    assert report.state == "ready"
    return tmp_path / "dataset"


def test_rows_are_read_by_number_slice_and_from_the_end(stored):
    rows = Dataset.open(stored).rows("train")
    assert len(rows) == 40
    assert np.array_equal(rows[-1]["image"], IMAGES[39])
    assert [row["label"] for row in rows[1:4]] == ["1", "0", "1"]
    with pytest.raises(IndexError):
        rows[40]


def test_pictures_of_one_size_are_a_view_of_the_file(stored):
    array = Dataset.open(stored).rows("train").columns["image"].array
    assert type(array) is np.ndarray
    assert not array.flags.writeable
    assert not array.flags.owndata


def test_what_is_taken_stays_an_array(stored):
    taken = Dataset.open(stored).rows("train").take(np.array([5, 3, 3])).take([2, 0])
    assert isinstance(taken.columns["image"], ImageArray)
    assert np.array_equal(taken.columns["image"].array, IMAGES[[3, 5]])
    assert isinstance(taken.columns["label"], Labels)
    assert list(taken.columns["label"]) == ["1", "1"]


def test_pictures_of_many_sizes_are_decoded_only_when_looked_at(tmp_path):
    members = [(f"{n % 2}/{n:02}.png", make_png(n, side=4 + n % 3)) for n in range(40)]
    upload(tmp_path, {"a.zip": make_zip(members)}, splits={"train": 1})
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    taken = rows.take([4, 1, 2]).take([0, 2])
    assert isinstance(taken.columns["image"], SelectedRows)
    assert [row["image"].shape for row in taken] == [rows[4]["image"].shape, rows[2]["image"].shape]


def test_a_split_that_is_not_there_is_empty(stored):
    rows = Dataset.open(stored).rows("test")
    assert len(rows) == 0
    assert list(rows) == []
    assert set(rows.columns) == {"image", "label"}


def test_columns_of_unequal_length_are_no_rows():
    with pytest.raises(ValueError, match="unequal length"):
        Rows({"a": [1], "b": [1, 2]})


def test_a_folder_without_a_dataset_says_what_to_do(tmp_path):
    with pytest.raises(DataError) as caught:
        Dataset.open(tmp_path)
    assert caught.value.hint == "Import the data again."


def test_a_dataset_of_another_version_is_refused(stored):
    path = stored / SUMMARY
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 3'))
    with pytest.raises(DataError, match="this release reads version 2"):
        Dataset.open(stored)


@pytest.mark.parametrize("name", ["train.arrow", "train.image.npy"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * len(data)]
)
def test_damaged_files_are_a_data_error(stored, name, damage):
    (stored / name).write_bytes(damage((stored / name).read_bytes()))
    with pytest.raises(DataError, match="train"):
        Dataset.open(stored).rows("train")
