"""Splits that `configs` of a dataset card name."""

import json

import pytest

from ml.data.importing.data_card import CardSplits
from tests.support.ml import samples
from tests.support.ml.dataset_files import codes, encode_image, make_images, make_tar, make_zip, sample, upload

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


IMAGES = [encode_image(image) for image in make_images(54)]
CLIPS = samples.VALUES["audio"](54)


def folder(row):
    """Return the folder of a row: 40 of 54 are in the first."""
    return "first" if row < 40 else "second"


def make_card(first, second):
    splits = f"  - split: train\n    path: {first}\n  - split: test\n    path: {second}\n"
    return ("README.md", f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n".encode())


def in_classes(values, suffix, rows=range(54)):
    return [(f"{folder(row)}/c{row % 2}/{row}{suffix}", values[row]) for row in rows]


def archive(start, stop):
    return make_zip([(f"c{row % 2}/{row}.png", IMAGES[row]) for row in range(start, stop)])


def shard(start, stop):
    rows = range(start, stop)
    return make_tar([file for row in rows for file in ((f"{row}.png", IMAGES[row]), (f"{row}.cls", b"%d" % (row % 2)))])


def with_table(header, cell, values, suffix):
    rows = {name: [row for row in range(54) if folder(row) == name] for name in ("first", "second")}
    tables = [
        (f"{name}/metadata.csv", "".join([header, *(f"{row}{suffix},{cell(row)}\n" for row in numbers)]).encode())
        for name, numbers in rows.items()
    ]
    return [*tables, *((f"{folder(row)}/{row}{suffix}", value) for row, value in enumerate(values))]


def yolo():
    labels = [(f"{folder(row)}/labels/{row}.txt", b"0 .5 .5 .2 .2\n") for row in range(54)]
    images = [(f"{folder(row)}/images/{row}.png", image) for row, image in enumerate(IMAGES)]
    return [("classes.txt", b"cat\n"), *labels, *images]


def coco():
    files = []
    for name in ("first", "second"):
        rows = [row for row in range(54) if folder(row) == name]
        boxes = [{"id": row + 1, "image_id": row, "category_id": 1, "bbox": [1, 1, 3, 3]} for row in rows]
        images = [{"id": row, "file_name": f"{row}.png", "width": 6, "height": 6} for row in rows]
        document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
        files.append((f"{name}/annotations.json", json.dumps(document).encode()))
    return [*files, *((f"{folder(row)}/{row}.png", image) for row, image in enumerate(IMAGES))]


TEXTS = [f"text number {row}".encode() for row in range(54)]
LAYOUTS = {
    "images in class folders": lambda: in_classes(IMAGES, ".png"),
    "images with a table": lambda: with_table("file_name,text\n", lambda row: f"a caption {row}", IMAGES, ".png"),
    "clips with a table": lambda: with_table("file_name,transcription\n", lambda row: f"say {row}", CLIPS, ".wav"),
    "texts in class folders": lambda: in_classes(TEXTS, ".txt"),
    "texts": lambda: [(f"{folder(row)}/{row}.txt", text) for row, text in enumerate(TEXTS)],
    "archives of class folders": lambda: [("first.zip", archive(0, 40)), ("second.zip", archive(40, 54))],
    "shards": lambda: [("first.tar", shard(0, 40)), ("second.tar", shard(40, 54))],
    "numbered shards": lambda: [
        (f"first-{part}.tar", shard(part * 20, part * 20 + 20)) for part in range(2)
    ] + [("second-0.tar", shard(40, 54))],
    "yolo": yolo,
    "coco": coco,
}  # fmt: skip


@pytest.mark.parametrize("above", ["", "data/"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_splits_of_the_card_hold_for_folders_and_archives(tmp_path, name, above):
    members = [(above + member, data) for member, data in LAYOUTS[name]()]
    ends = {"archives of class folders": ".zip", "shards": ".tar", "numbered shards": "-*.tar"}
    card = make_card(*(f"{above}{part}{ends.get(name, '/*')}" for part in ("first", "second")))
    report = upload(tmp_path, {"a.zip": make_zip([card, *members])})

    assert (report.state, report.splits["test"], report.accepted) == ("ready", 14, 54)
    assert "splits_of_card" in codes(report)
    assert set(report.classes or ()) in (set(), {"c0", "c1"}, {"0", "1"}, {"cat"})


def test_a_split_beside_train_and_test_is_left_out_and_reported(tmp_path):
    splits = "".join(
        f"  - split: {split}\n    path: {path}\n" for split, path in (("train", "a/*"), ("unsupervised", "b/*"))
    )
    card = ("README.md", f"---\nconfigs:\n- config_name: plain\n  data_files:\n{splits}---\n".encode())
    tables = make_zip([card, ("a/x.csv", make_table(0, 40)), ("b/y.csv", make_table(40, 40))])
    images = [(f"{'ab'[row % 2]}/c{row // 2 % 2}/{row}.png", image) for row, image in enumerate(IMAGES)]
    of_tables = upload(tmp_path / "tables", {"a.zip": tables})
    of_images = upload(tmp_path / "images", {"a.zip": make_zip([card, *images])})

    assert (of_tables.accepted, sample(of_tables, "list_not_learned")["file"]) == (40, "a.zip/b/y.csv")
    assert (of_images.accepted, of_images.classes) == (27, ["c0", "c1"])
    assert sample(of_images, "list_not_learned")["found"] == "another split of the card: b/c0, b/c1"


def test_several_configurations_are_reported(tmp_path):
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.csv\n" for name in ("easy", "hard"))
    card = ("README.md", f"---\nconfigs:\n{configs}---\n".encode())
    report = upload(tmp_path, {"a.zip": make_zip([card, ("easy/x.csv", make_table(0, 40))])})

    assert sample(report, "card_configurations")["found"] == "easy, hard"


def test_folders_of_one_split_are_joined_and_the_request_goes_first(tmp_path):
    card = make_card("['first/**', 'second/**']", "third/**")
    third = [(f"third/c{row % 2}/{row}.png", encode_image(image)) for row, image in enumerate(make_images(12, seed=3))]
    data = make_zip([card, *in_classes(IMAGES, ".png"), *third])
    by_card = upload(tmp_path / "card", {"a.zip": data})
    by_request = upload(tmp_path / "request", {"a.zip": data}, splits={"a.zip": "train"})

    assert (by_card.splits["test"], by_card.accepted, by_card.classes) == (12, 66, ["c0", "c1"])
    assert "splits_of_card" not in codes(by_request)
