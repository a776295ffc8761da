"""Splits that `configs` of a dataset card name."""

import pytest

from ml.data.importing.data_card import CardSplits
from tests.support.ml.dataset_files import make_zip, upload

CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path: data/part_a.csv
  - split: test
    path: ["data/part_b.csv", "more/*.csv"]
---
# Reviews
"""


def make_table(start: int, rows: int) -> bytes:
    return ("text,label\n" + "".join(f"sentence number {start + row},{row % 2}\n" for row in range(rows))).encode()


def test_files_are_in_the_splits_of_the_card(tmp_path):
    tables = [("data/part_a.csv", make_table(0, 40)), ("data/part_b.csv", make_table(40, 14))]
    report = upload(tmp_path, {"a.zip": make_zip([("README.md", CARD.encode()), *tables])})

    assert (report.splits["test"], report.rows, report.license) == (14, 54, "MIT")


def test_the_request_goes_before_the_card(tmp_path):
    files = {"README.md": CARD.encode(), "part_a.csv": make_table(0, 40), "part_b.csv": make_table(40, 14)}
    report = upload(tmp_path, files, splits={"part_a.csv": "train", "part_b.csv": "validation"})

    assert report.splits["validation"] == 14


@pytest.mark.parametrize(
    ("data_files", "split"),
    [
        ("data/*.csv", "train"),
        ("{train: data/*.csv}", "train"),
        ('[{split: dev, path: "./data/**"}]', "validation"),
        ('[{split: train, path: "data/*"}, {split: test, path: "data/*"}]', None),
        ('[{split: easy, path: "data/*"}]', None),
        ("[7]", None),
    ],
)
def test_data_files_have_several_forms(data_files, split):
    card = CardSplits({"README.md": f"---\nconfigs:\n- data_files: {data_files}\n---\n".encode()})

    assert card.split_of("a.zip/data/x/y.csv") == split


@pytest.mark.parametrize("content", [b"", b"---\nconfigs: 3\n---\n", b"---\n[broken\n---\n", b"# Text"])
def test_a_card_without_configurations_names_no_split(content):
    assert CardSplits({"README.md": content}).split_of("data/a.csv") is None
