"""Archives within archives, as downloads of several parts are packed once more."""

import gzip
import json

import pytest

from ml.data.limits import Limits
from tests.support.ml.dataset_files import (
    class_folders,
    codes,
    encode_image,
    make_images,
    make_labels,
    make_tar,
    make_zip,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)
FOLDERS = class_folders(IMAGES, NAMES)
PNGS = [(f"{row:04}.png", encode_image(image)) for row, image in enumerate(IMAGES)]


def below(folder, members):
    return [(f"{folder}/{name}", data) for name, data in members]


def make_coco(rows):
    return json.dumps(
        {
            "images": [{"id": row, "file_name": f"{row:04}.png", "width": 6, "height": 6} for row in rows],
            "annotations": [{"id": row, "image_id": row, "category_id": 1, "bbox": [0, 0, 3, 3]} for row in rows],
            "categories": [{"id": 1, "name": "cell"}],
        }
    ).encode()


@pytest.mark.parametrize("pack", [make_zip, make_tar])
@pytest.mark.parametrize("top", [None, "{}"])
def test_inner_archives_named_after_splits_are_the_splits(tmp_path, pack, top):
    parts = {"train": FOLDERS[:20], "test": FOLDERS[20:]}
    inner = [(f"{name}.zip", pack(below(name, part) if top else part)) for name, part in parts.items()]
    report = upload(tmp_path, {"digits.zip": make_zip(inner)})

    assert (report.state, report.classes) == ("ready", ["0", "1"])
    assert report.splits == {"train": 18, "validation": 2, "test": 20}


def test_inner_archives_named_after_classes_are_the_classes(tmp_path):
    parts = {name: [(file[2:], data) for file, data in FOLDERS if file[0] == name] for name in "01"}
    inner = [(f"{name}.tar.gz", make_tar(part, mode="w:gz")) for name, part in parts.items()]
    report = upload(tmp_path / "nested", {"digits.zip": make_zip(inner)})
    flat = upload(tmp_path / "flat", {"digits.zip": make_zip(FOLDERS)})

    assert report.summary.digest == flat.summary.digest


def test_coco_as_published_in_three_archives_is_read(tmp_path):
    annotations = [
        ("annotations/instances_train2017.json", make_coco(range(30))),
        ("annotations/instances_val2017.json", make_coco(range(30, 40))),
    ]
    parts = [
        ("train2017.zip", make_zip(below("train2017", PNGS[:30]))),
        ("val2017.zip", make_zip(below("val2017", PNGS[30:]))),
        ("annotations_trainval2017.zip", make_zip(annotations)),
    ]
    report = upload(tmp_path, {"coco.zip": make_zip(parts)})

    assert (report.state, report.guess.format, report.classes) == ("ready", "coco", ["cell"])
    assert (report.rows, report.splits["validation"]) == (40, 10)


def test_shards_in_a_zip_are_read_together(tmp_path):
    captions = [(f"{row:04}.txt", f"a caption {row}".encode()) for row in range(40)]
    shards = [
        (f"shard-{number}.tar", make_tar(sorted(PNGS[rows] + captions[rows])))
        for number, rows in enumerate((slice(20), slice(20, 40)))
    ]
    report = upload(tmp_path, {"shards.zip": make_zip(shards)})

    assert (report.state, report.guess.format, report.rows) == ("ready", "image_captions", 40)


def test_compressed_tables_in_a_zip_are_read(tmp_path):
    rows = "text,label\n" + "".join(f"it was really {row},{row % 2}\n" for row in range(40))
    parts = [("train.csv.gz", gzip.compress(rows.encode())), ("test.csv.gz", gzip.compress(rows[:200].encode()))]
    report = upload(tmp_path, {"parts.zip": make_zip(parts)}, task="text_classification", max_bad_rows=0.5)

    assert report.state == "ready"
    assert report.splits["test"] > 0


def test_all_that_nested_archives_unpack_to_counts_towards_one_limit(tmp_path):
    # Each part is within the ratio of its own archive; what both unpack to is not within that of the upload.
    block = bytes(3 << 20)
    inner = make_zip([("a.tar.gz", gzip.compress(make_tar([("0.png", block)])))], compression=8)
    limits = Limits(max_unchecked_bytes=4 << 20, max_ratio=900)
    report = upload(tmp_path, {"a.zip": make_zip([(f"{row}.zip", inner) for row in range(2)])}, limits=limits)

    assert (report.state, codes(report)) == ("rejected", {"archive_bomb"})
    assert sample(report, "archive_bomb")["found"] == "archives within it unpack to far more than its size"


def test_an_unsafe_name_in_an_inner_archive_is_refused(tmp_path):
    inner = make_zip([*FOLDERS, ("../../x.png", b"1")])
    report = upload(tmp_path, {"a.zip": make_zip([("a.zip", inner)])})

    assert (report.state, codes(report)) == ("rejected", {"archive_unsafe_name"})
