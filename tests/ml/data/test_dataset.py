from pathlib import Path

import numpy as np
import pytest

from ml.data.dataset import SUMMARY, Dataset, locations_path
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.rows import ImageArray, Labels, Rows, SelectedRows
from ml.errors import DataError
from tests.support.ml.dataset_files import make_idx_pair, make_images, make_labels, make_png, make_zip, upload

IMAGES, NAMES = make_images(40), make_labels(40)


@pytest.fixture
def dataset_folder(tmp_path):
    report = upload(tmp_path, make_idx_pair(IMAGES, NAMES), splits={"train": 1})
    assert report.state == "ready"
    return tmp_path / "dataset"


def test_rows_are_read_by_number_slice_and_from_the_end(dataset_folder):
    rows = Dataset.open(dataset_folder).rows("train")
    assert len(rows) == 40
    assert np.array_equal(rows[-1]["image"], IMAGES[39])
    assert [row["label"] for row in rows[1:4]] == ["1", "0", "1"]
    with pytest.raises(IndexError):
        rows[40]


def test_images_of_one_size_are_a_view_of_the_file(dataset_folder):
    array = Dataset.open(dataset_folder).rows("train").columns["image"].array
    assert type(array) is np.ndarray
    assert not array.flags.writeable
    assert not array.flags.owndata


def test_a_selection_of_an_array_stays_an_array(dataset_folder):
    selection = Dataset.open(dataset_folder).rows("train").take(np.array([5, 3, 3])).take([2, 0])
    assert isinstance(selection.columns["image"], ImageArray)
    assert np.array_equal(selection.columns["image"].array, IMAGES[[3, 5]])
    assert isinstance(selection.columns["label"], Labels)
    assert list(selection.columns["label"]) == ["1", "1"]


def test_images_of_several_sizes_are_decoded_at_access(tmp_path):
    members = [(f"{n % 2}/{n:02}.png", make_png(n, side=4 + n % 3)) for n in range(40)]
    upload(tmp_path, {"a.zip": make_zip(members)}, splits={"train": 1})
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    selection = rows.take([4, 1, 2]).take([0, 2])
    assert isinstance(selection.columns["image"], SelectedRows)
    assert [row["image"].shape for row in selection] == [rows[4]["image"].shape, rows[2]["image"].shape]


def test_a_row_says_where_in_the_upload_it_was(tmp_path):
    table = "text,label,split\n" + "".join(f"text {n},{'ab'[n % 2]},{'train' if n % 3 else 'test'}\n" for n in range(9))
    upload(tmp_path / "table", {"a.csv": table.encode()})
    members = [(f"{n % 2}/{n:02}.png", make_png(n)) for n in range(40)]
    upload(tmp_path / "images", {"a.zip": make_zip(members)}, splits={"train": 1})
    from_table, images = (Dataset.open(tmp_path / name / "dataset") for name in ("table", "images"))

    assert from_table.rows("test")[1]["text"] == "text 3"
    places = from_table.locations("test", [1, 7])
    assert places[0] is not None
    assert (places[0].file, places[0].row) == ("a.csv", 4)
    assert places[1] is None, "there are three rows"
    named = [place.file for place in images.locations("train", range(40)) if place]
    assert [Path(name).parts[-2] for name in named] == list(images.rows("train").columns["label"])
    locations_path(images.directory, "train").unlink()
    assert images.locations("train", [0]) == [None], "as in datasets of earlier builds"


def test_columns_that_nothing_is_learned_from_are_stored(tmp_path):
    ends = [",test", "shop,train", "shop,train"]
    lines = "".join(f"text {n},{'ab'[n % 2]},{ends[n % 3]}\n" for n in range(30))
    upload(tmp_path, {"a.csv": f"text,label,source,split\n{lines}".encode()})
    dataset = Dataset.open(tmp_path / "dataset")

    assert dataset.unread_cells("train") == {"source": ["shop"] * dataset.summary.splits["train"]}
    assert dataset.unread_cells("test") == {"source": [None] * 10}
    operations = parse_operations([{"operation": "drop_rows", "rows": {"test": [0]}}])
    report = derive_dataset(tmp_path / "dataset", tmp_path / "next", operations, name="d@1")
    assert report.state == "ready"
    derived = Dataset.open(tmp_path / "next")
    assert derived.unread_cells("train") == dataset.unread_cells("train")
    assert derived.locations("test", [0]) == dataset.locations("test", [1])
    assert derived.locations("train", [3]) == dataset.locations("train", [3])


def test_a_missing_split_is_empty(dataset_folder):
    rows = Dataset.open(dataset_folder).rows("test")
    assert len(rows) == 0
    assert list(rows) == []
    assert set(rows.columns) == {"image", "label"}


def test_columns_of_unequal_length_are_rejected():
    with pytest.raises(ValueError, match="unequal length"):
        Rows({"a": [1], "b": [1, 2]})


def test_a_folder_without_a_dataset_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(DataError) as caught:
        Dataset.open(tmp_path)
    assert caught.value.hint == "Import the data again."


def test_a_dataset_of_another_format_version_is_rejected(dataset_folder):
    path = dataset_folder / SUMMARY
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 3'))
    with pytest.raises(DataError, match="this release reads version 2"):
        Dataset.open(dataset_folder)


@pytest.mark.parametrize("name", ["train.arrow", "train.image.npy"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * len(data)]
)
def test_damaged_files_are_a_data_error(dataset_folder, name, damage):
    (dataset_folder / name).write_bytes(damage((dataset_folder / name).read_bytes()))
    with pytest.raises(DataError, match="train"):
        Dataset.open(dataset_folder).rows("train")
