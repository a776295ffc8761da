"""Pictures, and a table that says what each shows."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.tasks import TASKS
from tests.support.ml import dataset_files
from tests.support.repository import SHARED_DATA

EMOJI = SHARED_DATA / "emoji-noto"
TEXTS = [f"picture number {index}" for index in range(24)]


def pictures(folder: str = "images/") -> list[tuple[str, bytes]]:
    return [(f"{folder}{index:02}.png", dataset_files.make_png(index)) for index in range(len(TEXTS))]


def table(delimiter: str = ",", *, names: str = "file_name{}text", rows: Any = None) -> bytes:
    lines = [f"{index:02}.png{delimiter}{text}" for index, text in enumerate(TEXTS)] if rows is None else rows
    return "\n".join([names.format(delimiter), *lines, ""]).encode()


def read(folder: Path, members: list[tuple[str, bytes]], **options: Any) -> Any:
    asked = {"task": "image_text_matching", "tasks": TASKS, **options}
    return dataset_files.upload(folder, {"data.zip": dataset_files.make_zip(members)}, **asked)


def texts(folder: Path) -> dict[str, list[str]]:
    data = Dataset.open(folder / "dataset")
    return {split: list(data.rows(split).columns["text"]) for split in data.summary.splits}


JSONL = "".join(json.dumps({"file_name": f"images/{i:02}.png", "text": t}) + "\n" for i, t in enumerate(TEXTS)).encode()
COCO = json.dumps(
    {
        "images": [{"id": 100 + index, "file_name": f"{index:02}.png"} for index in range(len(TEXTS))],
        "annotations": [{"id": index, "image_id": 100 + index, "caption": text} for index, text in enumerate(TEXTS)],
    }
).encode()


@pytest.mark.parametrize(
    "members",
    [
        [("metadata.csv", table()), *pictures()],
        [("wrapper/captions.tsv", table("\t", names="file{}caption")), *pictures("wrapper/images/")],
        [("metadata.jsonl", JSONL), *pictures()],
        [("annotations/captions_all.json", COCO), *pictures("all2017/")],
        [("README.md", b"hello"), ("metadata.csv", b"\xef\xbb\xbf" + table()), *pictures("")],
        [("captions.txt", table(names="image{}caption")), *pictures("Images/")],
        [("captions.csv", table(names="id{}caption").replace(b".png", b"")), *pictures("train/")],
    ],
    ids=["csv", "tsv", "jsonl", "coco", "beside", "flickr", "stems"],
)
def test_every_layout_brings_each_picture_with_its_text(members: list[tuple[str, bytes]], tmp_path: Path) -> None:
    report = read(tmp_path, members)

    assert report.state == "ready", report.errors
    assert report.guess.format == "image_table"
    assert sorted(text for split in texts(tmp_path).values() for text in split) == sorted(TEXTS)
    row = Dataset.open(tmp_path / "dataset").rows("train")[0]
    assert row["image"].shape == (6, 6, 1)


def test_the_table_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    files = {"pictures.zip": dataset_files.make_zip(pictures()), "captions.csv": table()}
    report = dataset_files.upload(tmp_path, files, task="image_text_matching", tasks=TASKS)

    assert report.state == "ready", report.errors


def test_the_split_column_is_followed(tmp_path: Path) -> None:
    rows = [f"{i:02}.png,{t},{'test' if i % 6 == 0 else 'val' if i % 6 == 1 else 'Train'}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path, [("metadata.csv", table(names="file_name,text,split", rows=rows)), *pictures()])

    assert report.splits == {"train": 16, "validation": 4, "test": 4}
    assert "picture number 6" in texts(tmp_path)["test"]


def test_several_texts_of_one_picture_stay_together(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{text} {version}" for index, text in enumerate(TEXTS) for version in "abc"]
    report = read(tmp_path, [("metadata.csv", table(rows=rows)), *pictures()])

    assert sum(report.splits.values()) == 72
    assert "duplicate_rows" not in dataset_files.codes(report)
    held = {split: {text[:-2] for text in found} for split, found in texts(tmp_path).items()}
    assert not held["train"] & held["test"]
    assert not held["train"] & held["validation"]


def test_labels_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{'cat' if index % 2 else 'dog'},{text}" for index, text in enumerate(TEXTS)]
    members = [("metadata.csv", table(names="file_name,label,text", rows=rows)), *pictures()]
    report = read(tmp_path, members, task="image_classification")

    assert report.classes == ["cat", "dog"]
    assert set(report.summary.columns) == {"image", "label"}


def test_labels_are_read_where_nothing_is_wanted_and_there_is_no_text(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{'cat' if index % 2 else 'dog'}" for index in range(len(TEXTS))]
    report = read(tmp_path, [("metadata.csv", table(names="file_name,label", rows=rows)), *pictures()], task=None)

    assert report.state == "ready", report.errors
    assert report.classes == ["cat", "dog"]
    assert report.guess.columns == {"file": "file_name", "label": "label"}


def test_a_file_that_is_not_there_is_named_with_the_likeliest(tmp_path: Path) -> None:
    rows = [f"{i:02}.jpg,{t}" if i == 5 else f"{i:02}.png,{t}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path, [("metadata.csv", table(rows=rows)), *pictures()])

    assert report.state == "rejected"
    sample = dataset_files.sample(report, "file_missing")
    assert (sample["file"], sample["line"], sample["row"]) == ("data.zip/metadata.csv", 7, 6)
    assert (sample["found"], sample["expected"]) == ("05.jpg", "05.png")
    assert dataset_files.sample(report, "picture_not_in_table")["file"] == "data.zip/images/05.png"


def test_a_name_that_two_files_have_must_say_its_folder(tmp_path: Path) -> None:
    report = read(tmp_path, [("metadata.csv", table()), *pictures("a/"), *pictures("b/")])

    assert "a/00.png" in dataset_files.sample(report, "file_name_ambiguous")["expected"]


def test_missing_columns_ragged_rows_and_unknown_splits_are_told_with_their_place(tmp_path: Path) -> None:
    report = read(tmp_path / "a", [("metadata.csv", table(names="picture_file,words")), *pictures()])
    assert dataset_files.sample(report, "column_missing")["expected"] == "file_name"

    rows = [f"{i:02}.png,{t}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path / "b", [("metadata.csv", table(rows=[*rows[:3], "03.png", *rows[4:]])), *pictures()])
    assert dataset_files.sample(report, "ragged_row")["line"] == 5

    rows = [f"{row},{'holdout' if i == 2 else 'train'}" for i, row in enumerate(rows)]
    report = read(tmp_path / "c", [("metadata.csv", table(names="file,text,split", rows=rows)), *pictures()])
    assert dataset_files.sample(report, "split_unknown")["found"] == "holdout"


def test_columns_can_be_named(tmp_path: Path) -> None:
    members = [("metadata.csv", table(names="picture_file,words")), *pictures()]
    report = read(tmp_path, members, columns={"file": "picture_file", "text": 2})

    assert report.state == "ready", report.errors


def test_a_damaged_coco_file_is_told(tmp_path: Path) -> None:
    report = read(tmp_path, [("captions.json", b'{"images": []}'), *pictures()])

    assert dataset_files.count(report, "coco_invalid") == 1


@pytest.mark.skipif(not EMOJI.exists(), reason="no emoji beside the repository")
def test_the_emoji_are_read_as_they_lie(tmp_path: Path) -> None:
    archive = tmp_path / "emoji.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in [EMOJI / "captions.tsv", *sorted((EMOJI / "images").iterdir())[:200]]:
            packed.write(path, path.relative_to(EMOJI))
    from ml.data.importing.importer import import_dataset

    report = import_dataset([archive], tmp_path / "dataset", task="image_text_matching", tasks=TASKS)

    # Of 1,911 emoji only 200 were packed; each row without its picture is told.
    assert {entry.code for entry in report.errors if entry.severity == "error"} == {"file_missing"}
    assert report.rejected == 1711


def test_one_table_may_tell_of_very_many_pictures(tmp_path: Path) -> None:
    packed = dataset_files.make_png()
    members = [(f"images/{index}.png", packed) for index in range(10_050)]
    rows = [f"{index}.png,picture {index}" for index in range(40)]
    report = read(tmp_path, [*members, ("metadata.csv", table(rows=rows))], task=None)

    assert (report.state, report.guess.format, report.rows) == ("ready", "image_table", 40)
