"""YOLO: keypoints, lists of images, and the settings of a dataset."""

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_png, make_zip, sample, upload

COUNT, TRAIN_COUNT = 24, 18
#: Center, width and height of the only box as fractions; images have 6 x 6 pixels.
BOX = "0.25 0.4 0.3 0.5"
CORNERS = [0.6, 0.9, 2.4, 3.9]
YAML = "train: images\nnames: [cup, pen]\n"


def import_labels(folder, line, *, yaml=YAML, **options):
    files = {f"images/{number}.png": make_png(number) for number in range(COUNT)}
    files |= {f"labels/{number}.txt": f"0 {line}\n".encode() for number in range(COUNT)}
    return upload(folder, {"a.zip": make_zip([*files.items(), ("data.yaml", yaml.encode())])}, **options)


def boxes(folder):
    return [annotated["box"] for row in Dataset.open(folder / "dataset").rows("train") for annotated in row["objects"]]


@pytest.mark.parametrize(
    ("shape", "keypoints"),
    [
        ("kpt_shape: [4, 2]", "0.25 0.3 0.3 0.5 0.2 0.6 0.9 0.9"),
        ("kpt_shape: [2, 2]", "0.25 0.3 0.3 0.5"),
        ("kpt_shape: [4, 3]", "0.25 0.3 2 0.3 0.5 1 0.2 0.6 0 0.9 0.9 2"),
        ("kpt_shape: [2, 3]", "0.25 0.3 2 0 0 0"),
        ("kpt_shape: [1, 3]", "0.25 0.3 1"),
        ("kpt_shape:\n- 1\n- 2", "0.25 0.3"),
        ("", "0.25 0.3 2 0.3 0.5 1 0 0 0"),
    ],
)
def test_an_object_with_keypoints_has_the_box_before_them(tmp_path, shape, keypoints):
    report = import_labels(tmp_path, f"{BOX} {keypoints}", yaml=f"{YAML}{shape}\n")

    assert (report.state, codes(report)) == ("ready", {"keypoints_not_read"})
    assert all(box == pytest.approx(CORNERS) for box in boxes(tmp_path))


def test_outlines_and_turned_boxes_are_no_keypoints(tmp_path):
    for name, line in (("turned", "0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5"), ("closed", "0 0 1 0 1 1 0 1 0 0")):
        assert codes(import_labels(tmp_path / name, line)) == {"outline_as_box"}
    assert all(box == [0, 0, 6, 6] for box in boxes(tmp_path / "closed"))


def test_a_line_with_another_number_of_keypoints_is_rejected(tmp_path):
    report = import_labels(tmp_path, f"{BOX} 0.1 0.1 2 0.2", yaml=f"{YAML}kpt_shape: [2, 3]\n")

    assert (report.state, sample(report, "annotation_invalid")["expected"]) == (
        "rejected",
        "class x y width height and 2 keypoints of 3",
    )


def test_a_confidence_after_the_box_is_counted(tmp_path):
    report = import_labels(tmp_path, f"{BOX} 0.87")

    assert (report.state, codes(report)) == ("ready", {"annotation_parts_not_read"})
    assert all(box == pytest.approx(CORNERS) for box in boxes(tmp_path))


def test_numbers_of_class_names_may_be_quoted(tmp_path):
    report = import_labels(tmp_path, BOX, yaml="names:\n  '0': cup\n  '1': pen\n")

    assert (report.classes, codes(report)) == (["cup"], set())


def make_files(folder_of):
    """Return images and labels in the folder that `folder_of` chooses by number."""
    files = {f"images/{folder_of(number)}{number}.png": make_png(number) for number in range(COUNT)}
    labels = {f"labels/{folder_of(number)}{number}.txt": f"0 {BOX}".encode() for number in range(COUNT)}
    return files | labels


def make_list(prefix, numbers, suffix=".png"):
    return "".join(f"{prefix}{number}{suffix}\n" for number in numbers).encode()


TRAIN, HELD_OUT = range(TRAIN_COUNT), range(TRAIN_COUNT, COUNT)
FLAT = make_files(lambda number: "")
PARTED = make_files(lambda number: "part_a/" if number < TRAIN_COUNT else "part_b/")
NAMES = b"names: [cup, pen]\n"
LAYOUTS = {
    "lists by name": {
        **FLAT,
        "train.txt": make_list("data/images/", TRAIN),
        "valid.txt": make_list("data/images/", HELD_OUT),
    },
    "lists of absolute paths": {
        **FLAT,
        "autosplit_train.txt": make_list("/content/images/", TRAIN),
        "autosplit_val.txt": make_list("/content/images/", HELD_OUT),
    },
    "lists without suffixes": {
        **FLAT,
        "ImageSets/train.txt": make_list("", TRAIN, ""),
        "ImageSets/val.txt": make_list("", HELD_OUT, ""),
    },
    "lists named by settings": {
        **FLAT,
        "one.txt": make_list("./images/", TRAIN),
        "two.txt": make_list("./images/", HELD_OUT),
        "data.yaml": b"path: ../here\ntrain: one.txt\nval: [two.txt]\n" + NAMES,
    },
    "lists named by Darknet": {
        **FLAT,
        "a.txt": make_list("data/images/", TRAIN),
        "b.txt": make_list("data/images/", HELD_OUT),
        "obj.data": b"classes = 2\ntrain = data/a.txt\nvalid = data/b.txt\nnames = data/obj.names\nbackup = backup/\n",
    },
    "folders named by settings": {**PARTED, "data.yaml": b"train: images/part_a\nval: images/part_b\n" + NAMES},
    "absolute folders": {**PARTED, "data.yaml": b"train: /data/x/images/part_a\nval: ../images/part_b/\n" + NAMES},
    "a held-out folder within train": {**PARTED, "data.yaml": b"train: images\nval: images/part_b\n" + NAMES},
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_lists_and_settings_decide_on_the_split(tmp_path, layout):
    files = {"obj.names": b"cup\npen\n", **LAYOUTS[layout]}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    # No test split is named, so a tenth of train becomes one.
    assert report.splits == {"train": 16, "validation": 6, "test": 2}


def test_the_request_has_precedence_over_lists(tmp_path):
    files = {"obj.names": b"cup\npen\n", **LAYOUTS["lists by name"]}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, splits={"a.zip": "train"})

    assert report.splits == {"train": 20, "validation": 2, "test": 2}


def test_a_split_equal_to_train_and_missing_paths_are_reported(tmp_path):
    report = import_labels(tmp_path, BOX, yaml=f"{YAML}val: images\ntest: ../test/images\n")

    assert (report.state, codes(report)) == ("ready", {"split_same_as_train", "split_path_missing"})
    assert report.splits == {"train": 20, "validation": 2, "test": 2}
    assert sample(report, "split_path_missing")["found"] == "test: ../test/images"


def test_texts_beside_images_are_labels_if_the_task_requires_objects(tmp_path):
    files = {f"{number}.png": make_png(number) for number in range(COUNT)}
    files |= {f"{number}.txt": f"0 {BOX}".encode() for number in range(COUNT)}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, task="object_detection")

    assert (report.state, report.guess.format, codes(report)) == ("ready", "yolo", {"classes_without_names"})


def test_a_list_of_classes_beside_class_folders_is_no_yolo(tmp_path):
    members = [(f"images/{number % 2}/{number}.png", make_png(number)) for number in range(COUNT)]
    lists = [("classes.txt", b"0\n1\n"), ("bounding_boxes.txt", b"1 0 0 3 3\n")]
    report = upload(tmp_path, {"a.zip": make_zip([*members, *lists])})

    assert (report.state, report.guess.format, report.classes) == ("ready", "class_folders", ["0", "1"])
