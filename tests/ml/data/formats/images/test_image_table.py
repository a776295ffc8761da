"""Images with a manifest of their captions or labels."""

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
TEXTS = [f"image number {index}" for index in range(24)]


def make_images(folder: str = "images/") -> list[tuple[str, bytes]]:
    return [(f"{folder}{index:02}.png", dataset_files.make_png(index)) for index in range(len(TEXTS))]


def make_table(delimiter: str = ",", *, names: str = "file_name{}text", rows: Any = None) -> bytes:
    lines = [f"{index:02}.png{delimiter}{text}" for index, text in enumerate(TEXTS)] if rows is None else rows
    return "\n".join([names.format(delimiter), *lines, ""]).encode()


def read(folder: Path, members: list[tuple[str, bytes]], **options: Any) -> Any:
    options = {"task": "image_text_matching", "tasks": TASKS, **options}
    return dataset_files.upload(folder, {"data.zip": dataset_files.make_zip(members)}, **options)


def imported_texts(folder: Path) -> dict[str, list[str]]:
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
        [("metadata.csv", make_table()), *make_images()],
        [("wrapper/captions.tsv", make_table("\t", names="file{}caption")), *make_images("wrapper/images/")],
        [("metadata.jsonl", JSONL), *make_images()],
        [("annotations/captions_all.json", COCO), *make_images("all2017/")],
        [("README.md", b"hello"), ("metadata.csv", b"\xef\xbb\xbf" + make_table()), *make_images("")],
        [("captions.txt", make_table(names="image{}caption")), *make_images("Images/")],
        [("captions.csv", make_table(names="id{}caption").replace(b".png", b"")), *make_images("train/")],
    ],
    ids=["csv", "tsv", "jsonl", "coco", "beside", "flickr", "stems"],
)
def test_all_layouts_pair_images_with_their_texts(members: list[tuple[str, bytes]], tmp_path: Path) -> None:
    report = read(tmp_path, members)

    assert report.state == "ready", report.errors
    assert report.guess.format == "image_table"
    assert sorted(text for split in imported_texts(tmp_path).values() for text in split) == sorted(TEXTS)
    row = Dataset.open(tmp_path / "dataset").rows("train")[0]
    assert row["image"].shape == (6, 6, 1)


def test_the_manifest_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    files = {"images.zip": dataset_files.make_zip(make_images()), "captions.csv": make_table()}
    report = dataset_files.upload(tmp_path, files, task="image_text_matching", tasks=TASKS)

    assert report.state == "ready", report.errors


def test_the_split_column_decides_on_the_split(tmp_path: Path) -> None:
    rows = [f"{i:02}.png,{t},{'test' if i % 6 == 0 else 'val' if i % 6 == 1 else 'Train'}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path, [("metadata.csv", make_table(names="file_name,text,split", rows=rows)), *make_images()])

    assert report.splits == {"train": 16, "validation": 4, "test": 4}
    assert "image number 6" in imported_texts(tmp_path)["test"]


def test_several_texts_of_one_image_stay_in_one_split(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{text} {version}" for index, text in enumerate(TEXTS) for version in "abc"]
    report = read(tmp_path, [("metadata.csv", make_table(rows=rows)), *make_images()])

    assert sum(report.splits.values()) == 72
    assert "duplicate_rows" not in dataset_files.codes(report)
    stems = {split: {text[:-2] for text in texts} for split, texts in imported_texts(tmp_path).items()}
    assert not stems["train"] & stems["test"]
    assert not stems["train"] & stems["validation"]


def test_labels_are_read_if_the_task_requires_them(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{'cat' if index % 2 else 'dog'},{text}" for index, text in enumerate(TEXTS)]
    members = [("metadata.csv", make_table(names="file_name,label,text", rows=rows)), *make_images()]
    report = read(tmp_path, members, task="image_classification")

    assert report.classes == ["cat", "dog"]
    assert set(report.summary.columns) == {"image", "label"}


def test_labels_are_read_without_a_task_if_there_is_no_text(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{'cat' if index % 2 else 'dog'}" for index in range(len(TEXTS))]
    report = read(
        tmp_path, [("metadata.csv", make_table(names="file_name,label", rows=rows)), *make_images()], task=None
    )

    assert report.state == "ready", report.errors
    assert report.classes == ["cat", "dog"]
    assert report.guess.columns == {"file": "file_name", "label": "label"}


def test_a_missing_file_is_reported_with_the_likeliest_name(tmp_path: Path) -> None:
    rows = [f"{i:02}.jpg,{t}" if i == 5 else f"{i:02}.png,{t}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path, [("metadata.csv", make_table(rows=rows)), *make_images()])

    assert report.state == "rejected"
    sample = dataset_files.sample(report, "file_missing")
    assert (sample["file"], sample["line"], sample["row"]) == ("data.zip/metadata.csv", 7, 6)
    assert (sample["found"], sample["expected"]) == ("05.jpg", "05.png")
    assert dataset_files.sample(report, "image_not_in_table")["file"] == "data.zip/images/05.png"


def test_an_ambiguous_file_name_is_rejected(tmp_path: Path) -> None:
    report = read(tmp_path, [("metadata.csv", make_table()), *make_images("a/"), *make_images("b/")])

    assert "a/00.png" in dataset_files.sample(report, "file_name_ambiguous")["expected"]


def test_missing_columns_ragged_rows_and_unknown_splits_are_reported_with_their_location(tmp_path: Path) -> None:
    report = read(tmp_path / "a", [("metadata.csv", make_table(names="picture_file,words")), *make_images()])
    assert dataset_files.sample(report, "column_missing")["expected"] == "text"  # the images name their column

    rows = [f"{i:02}.png,{t}" for i, t in enumerate(TEXTS)]
    report = read(tmp_path / "b", [("metadata.csv", make_table(rows=[*rows[:3], "03.png", *rows[4:]])), *make_images()])
    assert dataset_files.sample(report, "ragged_row")["line"] == 5

    rows = [f"{row},{'later' if i == 2 else 'train'}" for i, row in enumerate(rows)]
    report = read(tmp_path / "c", [("metadata.csv", make_table(names="file,text,split", rows=rows)), *make_images()])
    assert dataset_files.sample(report, "split_unknown")["found"] == "later"


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    members = [("metadata.csv", make_table(names="picture_file,words")), *make_images()]
    report = read(tmp_path, members, columns={"file": "picture_file", "text": 2})

    assert report.state == "ready", report.errors


def test_a_damaged_coco_file_is_reported(tmp_path: Path) -> None:
    report = read(tmp_path, [("captions.json", b'{"images": []}'), *make_images()])

    assert dataset_files.count(report, "coco_invalid") == 1


@pytest.mark.skipif(not EMOJI.exists(), reason="no emoji beside the repository")
def test_the_emoji_are_read_from_their_folder(tmp_path: Path) -> None:
    archive = tmp_path / "emoji.zip"
    with zipfile.ZipFile(archive, "w") as archive_file:
        for path in [EMOJI / "captions.tsv", *sorted((EMOJI / "images").iterdir())[:200]]:
            archive_file.write(path, path.relative_to(EMOJI))
    from ml.data.importing.importer import import_dataset

    report = import_dataset([archive], tmp_path / "dataset", task="image_text_matching", tasks=TASKS)

    # Only 200 of 1,911 emoji were packed; every row without its image is reported.
    assert {entry.code for entry in report.errors if entry.severity == "error"} == {"file_missing"}
    assert report.rejected == 1711


def test_a_manifest_is_detected_among_very_many_images(tmp_path: Path) -> None:
    image = dataset_files.make_png()
    members = [(f"images/{index}.png", image) for index in range(10_050)]
    rows = [f"{index}.png,image {index}" for index in range(40)]
    report = read(tmp_path, [*members, ("metadata.csv", make_table(rows=rows))], task=None)

    assert (report.state, report.guess.format, report.rows) == ("ready", "image_table", 40)


SPLITS = {"train": range(16), "validation": range(16, 20), "test": range(20, 24)}
SPLIT_COUNTS = {"train": 16, "validation": 4, "test": 4}


def make_split_files(folders: dict[str, str]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the images and a table for each split, below its folder."""
    images, tables = {}, {}
    for split, numbers in SPLITS.items():
        rows = [f"{index:02}.png,{TEXTS[index]}" for index in numbers]
        tables[f"{folders[split]}/metadata.csv"] = make_table(rows=rows)
        images |= {f"{folders[split]}/{index:02}.png": dataset_files.make_png(index) for index in numbers}
    return images, tables


@pytest.mark.parametrize(
    "folders",
    [
        {"train": "train", "validation": "validation", "test": "test"},
        {"train": "a/Training", "validation": "a/dev", "test": "a/testing"},
        {"train": "all/train2017", "validation": "all/val2017", "test": "all/test2017"},
        {"train": "data/images/train", "validation": "data/images/eval", "test": "data/images/test"},
        {"train": "train_images", "validation": "valid_images", "test": "test_images"},
        {"train": "train/train", "validation": "train/val", "test": "train/test"},
    ],
    ids=["plain", "aliases", "years", "deep", "suffixes", "wrapped"],
)
def test_folders_around_images_or_tables_decide_on_the_split(folders: dict[str, str], tmp_path: Path) -> None:
    images, tables = make_split_files(folders)
    in_each = read(tmp_path / "each", [*images.items(), *tables.items()])
    rows = [f"{name},{TEXTS[int(name[-6:-4])]}" for name in images]
    above = read(tmp_path / "above", [*images.items(), ("metadata.csv", make_table(rows=rows))])

    assert (in_each.splits, above.splits) == (SPLIT_COUNTS, SPLIT_COUNTS)
    assert imported_texts(tmp_path / "above")["test"] == TEXTS[20:]


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("a", "b", "c")], ids=["named", "requested"])
def test_archives_decide_on_the_split_by_request_or_name(names: tuple[str, ...], tmp_path: Path) -> None:
    files = {}
    for name, numbers in zip(names, SPLITS.values(), strict=True):
        table = make_table(rows=[f"{index:02}.png,{TEXTS[index]}" for index in numbers])
        images = [(f"{index:02}.png", dataset_files.make_png(index)) for index in numbers]
        files[f"{name}.zip"] = dataset_files.make_zip([("metadata.csv", table), *images])
    requested = {f"{name}.zip": split for name, split in zip(names, SPLITS, strict=True)}
    splits = requested if names[0] == "a" else None
    report = dataset_files.upload(tmp_path, files, task="image_text_matching", tasks=TASKS, splits=splits)

    assert report.splits == SPLIT_COUNTS


def test_the_request_has_precedence_over_the_split_column(tmp_path: Path) -> None:
    rows = [f"{index:02}.png,{text},test" for index, text in enumerate(TEXTS[:12])]
    other = [f"{index:02}.png,{text},train" for index, text in enumerate(TEXTS[12:], start=12)]
    names = "file_name,text,split"
    images = make_images()
    files = {
        "a.zip": dataset_files.make_zip([("metadata.csv", make_table(names=names, rows=rows)), *images[:12]]),
        "b.zip": dataset_files.make_zip([("metadata.csv", make_table(names=names, rows=other)), *images[12:]]),
    }
    splits = {"a.zip": "train", "b.zip": "test"}
    report = dataset_files.upload(tmp_path, files, task="image_text_matching", tasks=TASKS, splits=splits)

    assert report.splits["test"] == 12
    assert imported_texts(tmp_path)["test"] == TEXTS[12:]


def test_equal_names_in_two_folders_are_those_of_the_folder_called_like_the_table(tmp_path):
    images = [
        (f"{folder}/{row}.png", dataset_files.make_png(row + 100 * len(folder)))
        for folder in ("train", "test")
        for row in range(24)
    ]
    table = "\n".join(["id,label", *(f"{row},{'ab'[row % 2]}" for row in range(24)), ""]).encode()
    report = dataset_files.upload(tmp_path, {"a.zip": dataset_files.make_zip([*images, ("train.csv", table)])})

    assert (report.state, report.rows) == ("ready", 24)
    assert dataset_files.count(report, "image_not_in_table") == 24
