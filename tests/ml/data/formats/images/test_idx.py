import numpy as np
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import (
    MNIST,
    codes,
    count,
    gzip_bytes,
    make_idx,
    make_idx_pair,
    make_images,
    make_labels,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)


def test_a_pair_keeps_every_pixel_with_its_label(tmp_path):
    report = upload(tmp_path, make_idx_pair(IMAGES, NAMES), splits={"train": 1.0})
    assert report.state == "ready"
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert np.array_equal(rows.columns["image"].array, IMAGES)
    assert list(rows.columns["label"]) == NAMES


def test_plain_and_gzip_are_the_same_dataset(tmp_path):
    files = make_idx_pair(IMAGES, NAMES)
    plain = upload(tmp_path / "a", files)
    gzipped = upload(tmp_path / "b", {f"{name}.gz": gzip_bytes(data) for name, data in files.items()})
    assert plain.summary is not None
    assert gzipped.summary is not None
    assert plain.summary.digest == gzipped.summary.digest


def test_names_distinguish_train_and_test(tmp_path):
    test = make_images(20, seed=1)
    report = upload(tmp_path, make_idx_pair(IMAGES, NAMES) | make_idx_pair(test, make_labels(20), prefix="t10k"))
    assert report.splits == {"train": 36, "validation": 4, "test": 20}
    assert np.array_equal(Dataset.open(tmp_path / "dataset").rows("test").columns["image"].array, test)
    assert "4 of 40 rows were held out for validation" in report.suggestions[0].message


def test_images_alone_are_unlabeled(tmp_path):
    report = upload(tmp_path, {"images.idx": make_idx(IMAGES[:, :, :, 0])})
    assert report.state == "ready"
    assert report.classes is None
    assert report.summary is not None
    assert report.summary.columns == {"image": "image"}
    assert report.guess is not None
    assert report.guess.task == "image_generation"


@pytest.mark.parametrize("axis", [1, 3])
def test_channels_may_stand_first_or_last(tmp_path, axis):
    color = make_images(20, channels=3)
    report = upload(tmp_path, {"c.idx": make_idx(np.moveaxis(color, 3, axis))}, splits={"train": 1})
    assert report.state == "ready"
    assert np.array_equal(Dataset.open(tmp_path / "dataset").rows("train").columns["image"].array, color)


def test_pairs_with_other_names_are_matched_by_their_counts(tmp_path):
    files = {
        "a.idx": make_idx(IMAGES[:30, :, :, 0]),
        "b.idx": make_idx(IMAGES[30:, :, :, 0]),
        "x.idx": make_idx(np.zeros(30, dtype=np.uint8)),
        "y.idx": make_idx(np.ones(10, dtype=np.uint8)),
    }
    report = upload(tmp_path, files)
    assert report.state == "ready"
    assert report.classes == ["0", "1"]


def test_labels_of_a_wider_type_are_read(tmp_path):
    files = make_idx_pair(IMAGES, NAMES)
    wide = make_idx(np.array([1000 + int(name) for name in NAMES], dtype=">i4"), type_code=0x0C)
    report = upload(tmp_path, files | {"train-labels-idx1-ubyte": wide})
    assert report.classes == ["1000", "1001"]


def test_unequal_counts_are_reported_with_both_numbers(tmp_path):
    files = make_idx_pair(IMAGES, NAMES[:39])
    report = upload(tmp_path, files)
    assert report.state == "rejected"
    assert sample(report, "unequal_counts") == {
        "file": "train-labels-idx1-ubyte",
        "found": "39 labels",
        "expected": "40, as images",
    }


def test_all_faults_are_reported_at_once(tmp_path):
    files = make_idx_pair(IMAGES, NAMES[:39]) | {
        "t10k-images-idx3-ubyte": make_idx(IMAGES[:, :, :, 0])[:-50],
        "t10k-labels-idx1-ubyte": make_idx(np.zeros(40, dtype=np.float32), type_code=0x0D),
        "notes": b"",
    }
    report = upload(tmp_path, files)
    assert {"unequal_counts", "idx_truncated", "idx_type", "empty_file"} <= codes(report)
    assert not (tmp_path / "dataset").exists()


def test_trailing_bytes_are_a_warning(tmp_path):
    files = make_idx_pair(IMAGES, NAMES)
    report = upload(tmp_path, {name: data + b"more" for name, data in files.items()})
    assert report.state == "ready"
    assert count(report, "idx_trailing_bytes") == 2


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"{MNIST.name} is not beside the repository")
def test_mnist_as_it_is_published(tmp_path):
    from ml.data.importing.importer import import_dataset

    report = import_dataset(sorted(MNIST.glob("*.gz")), tmp_path / "dataset")
    assert (report.state, report.rows) == ("ready", 70_000)
    assert [(entry.code, entry.count < 100) for entry in report.errors] == [("label_probably_wrong", True)]
    assert report.splits["train"] + report.splits["validation"] == 60_000
    assert abs(report.splits["validation"] - 6_000) <= 10
    assert report.classes == [str(digit) for digit in range(10)]
    assert report.summary is not None
    assert list(report.summary.class_counts["test"].values()) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train, validation = (report.summary.class_counts[split] for split in ("train", "validation"))
    published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert [train[name] + validation[name] for name in train] == published
    rows = Dataset.open(tmp_path / "dataset").rows("test")
    assert rows.columns["image"].array.shape == (10_000, 28, 28, 1)
    assert rows[0]["label"] == "7"
