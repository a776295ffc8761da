import zipfile

import numpy as np
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import (
    class_folders,
    codes,
    count,
    encode_image,
    make_images,
    make_labels,
    make_png,
    make_tar,
    make_zip,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)


@pytest.mark.parametrize("wrapper", ["", "digits/", "./digits/", "some\\"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "TESTING")])
def test_folders_name_split_and_class(tmp_path, wrapper, train, test):
    members = class_folders(IMAGES[:30], NAMES[:30], above=f"{wrapper}{train}/")
    members += class_folders(IMAGES[30:], NAMES[30:], above=f"{wrapper}{test}/")
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert (report.state, codes(report)) == ("ready", set())
    assert report.splits == {"train": 26, "validation": 4, "test": 10}
    assert report.classes == ["0", "1"]


def test_without_splits_a_tenth_each_is_held_out_for_validation_and_test(tmp_path):
    report = upload(tmp_path, {"a.zip": make_zip(class_folders(IMAGES, NAMES))})
    assert report.splits == {"train": 32, "validation": 4, "test": 4}
    assert report.summary is not None
    assert report.summary.class_counts["test"] == {"0": 2, "1": 2}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_tar_and_zip_are_the_same_dataset(tmp_path, mode):
    members = sorted(class_folders(IMAGES, NAMES, above="all/"))
    as_zip = upload(tmp_path / "zip", {"a.zip": make_zip(members[::-1], compression=zipfile.ZIP_DEFLATED)})
    as_tar = upload(tmp_path, {"a.tar": make_tar(members, mode=mode)})
    assert as_zip.summary is not None
    assert as_tar.summary is not None
    assert as_zip.summary.digest == as_tar.summary.digest


def test_equal_uploads_have_equal_digests_and_others_differ(tmp_path):
    digests = []
    for folder, images in (("a", IMAGES), ("b", IMAGES), ("c", make_images(40, seed=9))):
        report = upload(tmp_path / folder, {"a.zip": make_zip(class_folders(images, NAMES))})
        assert report.summary is not None
        digests.append(report.summary.digest)
    assert digests[0] == digests[1] != digests[2]


def test_system_files_are_no_class(tmp_path):
    junk = [("__MACOSX/0/._0.png", b"x"), ("0/.DS_Store", b"x"), ("Thumbs.db", b"x"), (".git/config", b"x")]
    report = upload(tmp_path, {"a.zip": make_zip([*junk, *class_folders(IMAGES, NAMES)])})
    assert (report.state, codes(report), report.classes) == ("ready", set(), ["0", "1"])


def test_a_flat_folder_is_unlabeled(tmp_path):
    report = upload(tmp_path, {"a.zip": make_zip([(f"flat/{n}.png", make_png(n)) for n in range(25)])})
    assert report.state == "ready"
    assert report.classes is None


def test_a_single_folder_is_no_class_and_a_suggestion_explains_it(tmp_path):
    report = upload(tmp_path, {"a.zip": make_zip([(f"cats/{n}.png", make_png(n)) for n in range(25)])})
    assert any("without labels" in suggestion.message for suggestion in report.suggestions)
    labeled = upload(tmp_path / "labeled", {"a.zip": make_zip(class_folders(IMAGES, NAMES))})
    assert not any("without labels" in suggestion.message for suggestion in labeled.suggestions)


def test_loose_images_are_unlabeled(tmp_path):
    report = upload(tmp_path, {f"{n}.png": make_png(n) for n in range(25)})
    assert report.state == "ready"
    assert report.rows == 25
    assert report.classes is None


def test_classes_are_in_natural_order(tmp_path):
    names = [f"class {n}" for n in (10, 2, 1, 20)] * 10
    report = upload(tmp_path, {"a.zip": make_zip(class_folders(IMAGES, names))})
    assert report.classes == ["class 1", "class 2", "class 10", "class 20"]


def test_images_of_many_sizes_keep_their_sizes(tmp_path):
    members = [(f"{n % 2}/{n:02}.png", make_png(n, side=5 + n % 4)) for n in range(40)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, splits={"train": 1})
    assert report.state == "ready"
    assert sample(report, "image_sizes_differ")["found"] == "width x height from 5 x 5 to 8 x 8"
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    shapes = {rows[index]["image"].shape for index in range(len(rows))}
    assert shapes == {(side, side, 1) for side in range(5, 9)}
    assert rows.take([3, 1])[0]["image"].shape == rows[3]["image"].shape


def test_gray_and_color_may_be_mixed(tmp_path):
    members = [
        (f"{n % 2}/{n:02}.png", encode_image(make_images(1, channels=1 + 2 * (n % 2), seed=n)[0])) for n in range(40)
    ]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert report.state == "ready"
    assert "image_channels_differ" in codes(report)
    assert report.summary is not None
    assert report.summary.facts["image"]["channels"] == 3


def test_utf_8_names_without_the_flag_are_read(tmp_path):
    flagged = make_zip(class_folders(IMAGES, ["grün", "blau"] * 20))
    unflagged = flagged.replace(b"PK\x03\x04\x14\0\0\x08", b"PK\x03\x04\x14\0\0\0")
    unflagged = unflagged.replace(b"PK\x01\x02\x14\x03\x14\0\0\x08", b"PK\x01\x02\x14\x03\x14\0\0\0")
    assert unflagged != flagged
    report = upload(tmp_path, {"a.zip": unflagged})
    assert (report.state, report.classes) == ("ready", ["blau", "grün"])


def test_invalid_images_are_reported_by_name_and_counted(tmp_path):
    bad = [(f"0/bad{n:02}.png", make_png(n)[:40]) for n in range(15)]
    report = upload(tmp_path, {"a.zip": make_zip([*class_folders(IMAGES, NAMES), *bad])})
    assert report.state == "rejected"
    assert report.rejected == 15
    assert report.rows == 55
    assert sum(entry.count for entry in report.errors if entry.code.startswith("image_")) == 15
    assert sample(report, next(iter(codes(report))))["file"] == "a.zip/0/bad00.png"
    assert max(len(entry.sample) for entry in report.errors) == 10


def test_folders_below_a_class_belong_to_it(tmp_path):
    members = [(f"{n % 2}/deeper{n % 3}/{n}.png", make_png(n)) for n in range(40)]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert report.classes == ["0", "1"]
    assert count(report, "folders_nested") == 40


def test_an_archive_of_one_class_in_train_and_test_is_a_warning(tmp_path):
    members = class_folders(IMAGES[:30], ["cat"] * 30, above="train/") + class_folders(
        IMAGES[30:], ["cat"] * 10, above="test/"
    )
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert report.state == "ready"
    assert sample(report, "one_class") == {"found": "cat"}


def test_equal_pixels_mean_equal_content_however_they_are_encoded(tmp_path):
    digests = set()
    for format in ("PNG", "BMP", "TIFF"):
        members = [(f"{n % 2}/{n:02}.{format.lower()}", encode_image(IMAGES[n], format=format)) for n in range(40)]
        report = upload(tmp_path / format, {"a.zip": make_zip(members)})
        assert report.summary is not None
        digests.add(report.summary.digest)
        assert np.array_equal(Dataset.open(tmp_path / format / "dataset").rows("train")[0]["image"].shape, (6, 6, 1))
    assert len(digests) == 1


def test_split_folders_may_stand_below_the_classes(tmp_path):
    members = [(f"{name}/{'train' if row < 30 else 'val'}/{row}.png", make_png(row)) for row, name in enumerate(NAMES)]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert (report.state, codes(report), report.classes) == ("ready", set(), ["0", "1"])
    assert report.splits["validation"] == 10


def test_a_single_folder_named_like_a_split_beside_others_is_a_class(tmp_path):
    members = [(f"{('bus', 'train')[row % 2]}/{row}.png", make_png(row)) for row in range(40)]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert (report.state, report.classes, report.splits["train"]) == ("ready", ["bus", "train"], 32)


@pytest.mark.parametrize("task", [None, "image_classification"])
def test_lists_of_cub_200_name_the_splits(tmp_path, task):
    names = [f"00{1 + row % 2}.Bird_{row % 2}/bird_{row}.png" for row in range(40)]
    photos = [(f"CUB/images/{name}", encode_image(image)) for name, image in zip(names, make_images(40), strict=True)]
    lists = {
        "images.txt": [f"{row} {name}" for row, name in enumerate(names, start=1)],
        "image_class_labels.txt": [f"{row + 1} {1 + row % 2}" for row in range(40)],
        "train_test_split.txt": [f"{row + 1} {int(row % 10 < 7)}" for row in range(40)],
        "bounding_boxes.txt": [f"{row + 1} 1.0 1.0 4.0 4.0" for row in range(40)],
    }
    members = [*photos, *((f"CUB/{name}", "\n".join(lines).encode()) for name, lines in lists.items())]
    report = upload(tmp_path, {"cub.zip": make_zip(members)}, task=task)

    assert (report.state, report.guess.format, report.splits["test"]) == ("ready", "class_folders", 12)
    assert report.classes == ["001.Bird_0", "002.Bird_1"]
    assert sample(report, "file_ignored")["file"] == "cub.zip/CUB/bounding_boxes.txt"


def test_lists_of_files_divide_class_folders(tmp_path):
    members = class_folders(make_images(40), make_labels(40), above="food/images/")
    names = [name.removeprefix("food/images/").removesuffix(".png") for name, _ in members]
    texts = {"meta/train.txt": names[:28], "meta/test.txt": names[28:], "meta/classes.txt": ["0", "1"]}
    lists = [(f"food/{name}", "\n".join(lines).encode()) for name, lines in texts.items()]
    report = upload(tmp_path, {"food.zip": make_zip([*members, *lists, ("food/meta/labels.txt", b"Zero\nOne\n")])})

    assert (report.guess.format, report.classes, report.splits["test"]) == ("class_folders", ["0", "1"], 12)
    assert sample(report, "file_ignored")["file"].startswith("food.zip/food/meta/")


def test_lists_of_several_folds_are_reported(tmp_path):
    members = class_folders(make_images(40), make_labels(40))
    names = [name for name, _ in members]
    folds = {"train1.txt": names[:28], "test1.txt": names[28:], "train2.txt": names[12:], "test2.txt": names[:12]}
    lists = [(f"labels/{name}", "\n".join(lines).encode()) for name, lines in folds.items()]
    lists.append(("labels/joint_annotations.txt", b"0/1.png\n"))
    report = upload(tmp_path, {"a.zip": make_zip([*members, *lists])})

    assert (report.state, count(report, "file_ignored"), report.splits["test"]) == ("ready", 5, 4)


def test_a_list_may_have_the_class_behind_the_name(tmp_path):
    members = class_folders(make_images(40), make_labels(40), above="photos/")
    lines = "".join(f"photos/{name.partition('/')[2]} 0\n" for name, _ in members[30:])
    report = upload(tmp_path, {"a.zip": make_zip([*members, ("val_list.txt", lines.encode())])})

    assert report.splits["validation"] == 10


def test_a_list_names_the_classes_of_images_without_class_folders(tmp_path):
    images = [(f"img/{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    lines = [f"img/{row}.png {row % 2}\n" for row in range(40)]
    lists = [("train.txt", "".join(lines[:28]).encode()), ("val.txt", "".join(lines[28:]).encode())]
    report = upload(tmp_path, {"a.zip": make_zip([*images, *lists])})

    assert (report.guess.task, report.classes) == ("image_classification", ["0", "1"])
    assert report.splits["validation"] == 12


def test_masks_beside_images_are_no_class(tmp_path):
    images = [encode_image(image) for image in make_images(40)]
    members = [(f"{('images', 'masks')[row % 2]}/{row // 2}.png", image) for row, image in enumerate(images)]
    report = upload(tmp_path, {"a.zip": make_zip(members)})

    assert (report.state, report.classes, report.accepted) == ("ready", None, 20)
    assert sample(report, "file_ignored")["found"] == "a mask of pixels"


def test_the_first_of_several_numbers_in_a_list_is_the_class(tmp_path):
    images = [(f"images/pet_{row}.png", encode_image(image)) for row, image in enumerate(make_images(40))]
    lists = {"trainval": range(30), "test": range(30, 40)}
    members = [
        (f"annotations/{name}.txt", "".join(f"pet_{row} {row % 2 + 1} 1 {row % 5}\n" for row in rows).encode())
        for name, rows in lists.items()
    ]
    report = upload(tmp_path, {"a.zip": make_zip([*images, *members])}, task="image_classification")

    assert (report.classes, report.splits["test"]) == (["1", "2"], 10)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("train/{0}.png", "trainannot/{0}.png"),
        ("CamVid/train/{0}.png", "CamVid/train_labels/{0}_L.png"),
        ("train/{0}.png", "train/{0}_mask.png"),
        ("leftImg8bit/train/a/{0}.png", "leftImg8bit/train/a/{0}_labelIds.png"),
    ],
)
def test_masks_by_the_names_of_files_and_folders_are_no_images(tmp_path, image, mask):
    images = [encode_image(pixels) for pixels in make_images(40)]
    members = [((image, mask)[row % 2].format(row // 2), data) for row, data in enumerate(images)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="image_generation")

    assert (report.state, report.accepted, count(report, "file_ignored")) == ("ready", 20, 20)


def test_classes_with_files_of_one_name_are_no_masks(tmp_path):
    images = [encode_image(pixels) for pixels in make_images(40)]
    members = [(f"{('gt', 'suv')[row % 2]}/{row // 2}.png", data) for row, data in enumerate(images)]
    report = upload(tmp_path, {"a.zip": make_zip(members)})

    assert (report.classes, report.accepted) == (["gt", "suv"], 40)
