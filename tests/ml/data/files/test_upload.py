from collections import Counter
from pathlib import PurePosixPath

import pytest

from ml.data.files.upload import UploadedFile, find_split, parse_split
from tests.support.ml.dataset_files import make_zip

ROWS = range(9_000)
APART = [*(f"images/{row}.jpg" for row in ROWS), *(f"labels/{row}.txt" for row in ROWS)]
SIDE_BY_SIDE = [f"{row}{ending}" for row in ROWS for ending in (".jpg", ".txt")]


@pytest.mark.parametrize("names", [APART, SIDE_BY_SIDE], ids=["apart", "side by side"])
def test_a_sample_of_very_many_names_includes_every_suffix(tmp_path, names):
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip((name, b"") for name in ["data.yaml", *names, "z/metadata.csv"]))

    counts = Counter(PurePosixPath(name).suffix for name in UploadedFile("a.zip", path).member_names)

    assert (counts[".yaml"], counts[".csv"]) == (1, 1)
    # The tolerance is ten standard deviations of a random sample of 10,000.
    assert counts[".jpg"] / (counts[".jpg"] + counts[".txt"]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-clean-100", "train"),
        ("dev-other", "validation"),
        ("test-clean", "test"),
        ("devtest", "test"),
        ("train2017", "train"),
        ("test_set_2", "test"),
        ("train-station", None),
        ("clean", None),
    ],
)
def test_names_of_splits_in_corpora_are_parsed(name, split):
    assert parse_split(name) == split


@pytest.mark.parametrize(
    ("name", "split"), [("newstest2014.en", "test"), ("newsdev2016-ende.de", "validation"), ("contest2014.en", None)]
)
def test_the_names_of_shared_tasks_have_a_split(name, split):
    assert find_split(name) == split
