"""Tables of items beside a log, joined by id."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.item_table import ItemColumn
from tests.support.ml import dataset_files

LOG = b"user,item,timestamp\n" + b"".join(
    f"u{user},{item},{100 * user + step}\n".encode() for user in range(12) for step, item in enumerate("abcd")
)
ITEMS = (
    b"item,title,tags,price\na,Green tea,drink|warm,3.5\nb,Black tea,drink|warm,4\nc,Tent,outdoor,$120.00\n"
    b"d,Lamp,outdoor,20\nx,White tea,drink,5\ny,Rope,outdoor,9\n"
)


def read(folder: Path, items: bytes = ITEMS, *, name: str = "items.csv", log: bytes = LOG, **options: Any) -> Any:
    return dataset_files.upload(folder, {"purchases.csv": log, name: items}, **options)


def issue(report: Any, code: str) -> Any:
    (entry,) = (entry for entry in report.errors if entry.code == code)
    return entry


def test_a_table_of_items_is_read_beside_the_log(tmp_path: Path) -> None:
    report = read(tmp_path)
    table = Dataset.open(tmp_path / "dataset").item_table()

    assert report.state == "ready", report.errors
    assert report.rows == 36
    assert table is not None
    assert table.ids == ("a", "b", "c", "d", "x", "y")
    assert table.text(0) == "Green tea. tags: drink, warm. price: 3.5"
    assert report.summary.item_table.columns == {
        "title": ItemColumn(kind="text"),
        "tags": ItemColumn(kind="categories", delimiter="|"),
        "price": ItemColumn(kind="number"),
    }
    assert report.summary.item_table.items_without_interactions == 2
    assert issue(report, "items_not_in_log").count == 2
    assert issue(report, "items_not_in_log").sample[0]["row"] == 5


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("movies.csv", ITEMS.replace(b"item,", b"movieId,", 1)),
        ("products.tsv", ITEMS.replace(b"item,", b"id,", 1).replace(b",", b"\t")),
        ("x.item", ITEMS.replace(b"item,title", b"item_id:token,title:token_seq", 1).replace(b",", b"\t")),
        ("items.jsonl", b'{"item": "a", "title": "Green tea", "tags": ["drink", "warm"], "price": 3.5}\n' * 1),
    ],
)
def test_usual_names_and_layouts_are_read(name: str, items: bytes, tmp_path: Path) -> None:
    report = read(tmp_path, items, name=name)
    table = Dataset.open(tmp_path / "dataset").item_table()

    assert report.state == "ready", report.errors
    assert table is not None
    assert table.ids[0] == "a"
    assert table.fields(0)["title"] == "Green tea"


def test_a_zip_of_movielens_brings_the_titles(tmp_path: Path) -> None:
    members = [("ml/ratings.csv", LOG), ("ml/movies.csv", ITEMS), ("ml/links.csv", b"item,imdb\na,1\n")]
    report = dataset_files.upload(tmp_path, {"ml.zip": dataset_files.make_zip(members)})

    assert report.state == "ready", report.errors
    assert report.summary.item_table.rows == 6
    assert [sample["file"] for sample in issue(report, "file_not_a_log").sample] == ["ml.zip/ml/links.csv"]


def test_histories_are_the_same_with_and_without_a_table(tmp_path: Path) -> None:
    read(tmp_path / "with")
    dataset_files.upload(tmp_path / "without", {"purchases.csv": LOG})
    with_table, without = (Dataset.open(tmp_path / name / "dataset") for name in ("with", "without"))

    assert list(with_table.rows("train").columns["history"]) == list(without.rows("train").columns["history"])
    assert without.summary.item_table is without.item_table() is None
    assert with_table.summary.digest != without.summary.digest


def test_an_item_without_a_text_is_reported_with_file_row_and_column(tmp_path: Path) -> None:
    report = read(tmp_path, ITEMS.replace(b"d,Lamp,outdoor,20", b"d,,,"))

    assert report.state == "ready"
    sample = issue(report, "item_without_text").sample[0]
    assert (sample["file"], sample["row"], sample["column"], sample["found"]) == (
        "items.csv",
        4,
        "title, tags, price",
        "d",
    )


def test_items_of_the_log_that_the_table_lacks_are_counted(tmp_path: Path) -> None:
    report = read(tmp_path, ITEMS.replace(b"d,Lamp,outdoor,20\n", b""))

    assert report.state == "ready"
    assert issue(report, "items_not_described").sample[0]["found"] == "d"
    assert report.summary.item_table.items_without_text == 1


def test_a_table_whose_ids_match_nothing_is_rejected(tmp_path: Path) -> None:
    report = read(tmp_path, b"item,title\n001,Green tea\n002,Tent\n")

    assert report.state == "rejected"
    sample = issue(report, "items_match_nothing").sample[0]
    assert (sample["file"], sample["row"], sample["column"], sample["found"]) == ("items.csv", 1, "item", "001")
    assert sample["expected"] == "ids of interactions, such as a"


def test_a_table_without_ids_is_rejected(tmp_path: Path) -> None:
    report = read(tmp_path, b"title,price\nGreen tea,3\nTent,100\n")

    assert report.state == "rejected"
    sample = issue(report, "item_column_missing").sample[0]
    assert (sample["file"], sample["row"], sample["column"]) == ("items.csv", 1, "title, price")


def test_a_row_without_an_id_and_a_repeated_id_are_reported(tmp_path: Path) -> None:
    report = read(tmp_path, ITEMS + b",No id,drink,1\na,Again,drink,2\n", leaves_out_bad_rows=True)

    assert report.state == "ready"
    assert issue(report, "item_missing").sample[0]["row"] == 7
    assert issue(report, "item_repeated").sample[0]["row"] == 8
    assert Dataset.open(tmp_path / "dataset").item_table().fields(0)["title"] == "Green tea"


def test_a_column_without_a_value_is_named_as_not_read(tmp_path: Path) -> None:
    report = read(tmp_path, b"item,title,color\na,Tea,\nb,Tent,\n")

    assert issue(report, "item_column_blank").sample[0]["column"] == "color"
    assert list(report.summary.item_table.columns) == ["title"]
    assert "not read: color" in report.reading


def test_a_derived_dataset_keeps_the_table(tmp_path: Path) -> None:
    read(tmp_path)
    operations = parse_operations([{"operation": "sample", "fraction": 0.5}])
    report = derive_dataset(tmp_path / "dataset", tmp_path / "next", operations, name="x@1")

    assert report.state == "ready", report.errors
    table = Dataset.open(tmp_path / "next").item_table()
    assert table is not None
    assert table.ids == ("a", "b", "c", "d", "x", "y")
