"""Class names in a list beside tables with numbered classes."""

from pathlib import Path

import pytest

from ml.data.dataset import Dataset
from ml.data.importing.corpora.class_list import name_classes
from tests.support.ml.dataset_files import codes, make_tar, make_zip, sample, upload

CLASSES = ["World", "Sports", "Business", "Sci/Tech"]


def news(start: int, stop: int) -> bytes:
    """Return rows of AG News: number of the class, title, text with a comma."""
    return "".join(
        f'"{1 + row % 4}","Title {row}","The text of article {row}, which says ""no"" today."\n'
        for row in range(start, stop)
    ).encode()


FILES = {
    "train.csv": news(0, 60),
    "test.csv": news(60, 90),
    "classes.txt": "\n".join(CLASSES).encode(),
    "readme.txt": b"AG's corpus",
}


@pytest.mark.parametrize("packing", ["loose", "zip", "tgz"])
@pytest.mark.parametrize("task", [None, "text_classification"])
def test_ag_news_has_the_names_of_its_classes_and_both_texts(tmp_path: Path, packing: str, task: str | None) -> None:
    members = [(f"ag_news_csv/{name}", data) for name, data in FILES.items()]
    packed = {"zip": lambda: {"a.zip": make_zip(members)}, "tgz": lambda: {"a.tgz": make_tar(members, mode="w:gz")}}
    report = upload(tmp_path, packed[packing]() if packing in packed else FILES, task=task)
    rows = Dataset.open(tmp_path / "dataset").rows("test").columns

    assert (report.state, report.classes, report.splits["test"]) == ("ready", sorted(CLASSES), 30)
    assert rows["text"][0] == 'Title 60\n\nThe text of article 60, which says "no" today.'
    assert rows["label"][0] == "World"
    assert codes(report) >= {"columns_joined", "classes_named_by_list"}


def test_a_list_that_names_no_numbers_is_reported(tmp_path: Path) -> None:
    table = "text,label\n" + "".join(f"a text {row},{'ab'[row % 2]}\n" for row in range(60))
    report = upload(tmp_path, {"train.csv": table.encode(), "classes.txt": b"one\ntwo\n"})

    assert (report.classes, sample(report, "file_ignored")["file"]) == (["a", "b"], "classes.txt")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["1", "2", "3"], {"1": "a", "2": "b", "3": "c"}),
        (["0", "2"], {"0": "a", "2": "c"}),
        (["1", "2"], {}),
        (["1", "2", "4"], {}),
        (["a", "1", "3"], {}),
        (["1", "01", "3"], {}),
    ],
)
def test_numbers_begin_at_one_if_the_last_occurs_and_at_zero_if_that_does(
    labels: list[str], names: dict[str, str]
) -> None:
    assert name_classes(labels, ["a", "b", "c"]) == names
