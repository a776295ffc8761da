"""Contract of the formats of annotated images, and the usual mistakes in each."""

import json

import pytest

from ml.data.dataset import Dataset
from ml.data.files.xml import read_xml
from ml.data.issues import DataRejected
from tests.support.ml import annotations
from tests.support.ml.annotations import LAYOUTS, draw_image, make_coco_json, make_voc_xml, make_yolo_text, objects
from tests.support.ml.dataset_files import codes, make_png, make_tar, make_zip, sample, upload

all_formats = pytest.mark.parametrize("name", list(LAYOUTS))


def import_zip(folder, files, **options):
    """Return the report, and the objects of all rows by split if it is ready."""
    report = upload(folder, {"a.zip": make_zip(files.items())}, **options)
    if report.state != "ready":
        return report, {}
    dataset = Dataset.open(folder / "dataset")
    return report, {split: [row["objects"] for row in dataset.rows(split)] for split in report.splits}


@all_formats
def test_it_is_detected_and_imports_the_same_objects_as_the_others(tmp_path, name):
    report, rows = import_zip(tmp_path, LAYOUTS[name]())

    assert (report.state, codes(report)) == ("ready", set())
    assert report.guess.format == name
    assert report.guess.task == "object_detection"
    assert report.splits == {"train": 14, "validation": 4, "test": 4}
    assert report.classes == ["cat", "dog"]
    expected = sorted(([label, box] for number in range(14) for label, box in objects(number)), key=str)
    imported = [[item["label"], [round(side, 6) for side in item["box"]]] for row in rows["train"] for item in row]
    assert sorted(imported, key=str) == expected


@all_formats
def test_an_image_has_its_own_objects(tmp_path, name):
    import_zip(tmp_path, LAYOUTS[name]())

    for row in Dataset.open(tmp_path / "dataset").rows("test"):
        for annotated in row["objects"]:
            left, top, right, bottom = (round(side) for side in annotated["box"])
            assert (row["image"][top:bottom, left:right] >= 100).all()


@all_formats
def test_tar_is_read_like_zip(tmp_path, name):
    in_zip, _ = import_zip(tmp_path / "zip", LAYOUTS[name]())
    in_tar = upload(tmp_path / "tar", {"a.tar": make_tar(LAYOUTS[name]().items())})

    assert in_tar.summary.digest == in_zip.summary.digest


def test_annotations_and_images_may_be_uploaded_apart(tmp_path):
    files = annotations.make_coco()
    images = {file: data for file, data in files.items() if file.endswith(".png")}
    loose = {file.rpartition("/")[2]: data for file, data in files.items() if file.endswith(".json")}

    report = upload(tmp_path, {"images.zip": make_zip(images.items()), **loose}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.splits == {"train": 14, "validation": 4, "test": 4}


def test_images_of_one_name_are_distinguished_by_their_folders(tmp_path):
    files = {}
    for start, split in ((0, "train"), (20, "valid"), (40, "test")):
        numbers = list(range(start, start + 4))
        images = [{"id": number, "file_name": f"{number - start}.png"} for number in numbers]
        files[f"{split}/_annotations.coco.json"] = make_coco_json(numbers, images=images)
        files |= {f"{split}/{number - start}.png": draw_image(number) for number in numbers}

    report, rows = import_zip(tmp_path, files)

    assert report.splits == {"train": 4, "validation": 4, "test": 4}
    assert rows["test"][0][0]["box"] == objects(40)[0][1]


def change_files(name, **files):
    """Return the usual upload with some files replaced, left out (None) or added."""
    merged = {**LAYOUTS[name](), **{file.replace("__", "/"): data for file, data in files.items()}}
    return {file: data for file, data in merged.items() if data is not None}


def import_boxes(tmp_path, *boxes, label="cat"):
    files = change_files("voc")
    files["VOC/Annotations/p0.xml"] = make_voc_xml([(label, list(box)) for box in boxes])
    return import_zip(tmp_path, files)


@pytest.mark.parametrize(
    ("box", "code", "expected_box"),
    [
        ((-4, 2, 8, 9), "box_outside", [0, 2, 8, 9]),
        ((4, 2, 26, 19), "box_outside", [4, 2, 20, 16]),
        ((8, 9, 2, 3), "box_reversed", [2, 3, 8, 9]),
        ((5, 5, 5, 5), "box_empty", None),
        ((5, 5, 9, 5), "box_empty", None),
        ((30, 2, 40, 9), "box_off_image", None),
    ],
)
def test_an_invalid_box_is_repaired_or_left_out_and_reported(tmp_path, box, code, expected_box):
    report, rows = import_boxes(tmp_path, box, (1, 1, 3, 3))

    assert (report.state, codes(report)) == ("ready", {code})
    assert report.repaired == 1
    issue = sample(report, code)
    assert issue["file"] == "a.zip/VOC/JPEGImages/p0.png"
    assert "found" in issue
    row = next(row for row in rows["train"] if {"label": "cat", "box": [1, 1, 3, 3]} in row)
    assert [annotated["box"] for annotated in row][:-1] == ([expected_box] if expected_box else [])


def test_a_box_outside_by_rounding_is_cut_without_a_warning(tmp_path):
    report, rows = import_boxes(tmp_path, (0, 0, 20.9, 16))

    assert codes(report) == set()
    assert any(annotated["box"] == [0, 0, 20, 16] for row in rows["train"] for annotated in row)


def test_the_same_box_twice_is_one(tmp_path):
    report, _ = import_boxes(tmp_path, (1, 1, 4, 4), (1, 1, 4, 4))

    assert codes(report) == {"box_duplicate"}


@pytest.mark.parametrize("box", [("1", "2", "x", "4"), ("nan", 1, 2, 3), ("", 1, 2, 3)])
def test_a_box_of_other_than_four_numbers_is_rejected(tmp_path, box):
    report, _ = import_boxes(tmp_path, box)

    assert (report.state, codes(report)) == ("rejected", {"box_not_numbers"})


def test_an_object_without_label_is_reported(tmp_path):
    report, _ = import_boxes(tmp_path, (1, 1, 4, 4), label=" ")

    assert codes(report) == {"object_without_label"}


def test_corners_written_as_sizes_are_suspected(tmp_path):
    content = json.loads(make_coco_json(list(range(22))))
    for annotation in content["annotations"]:
        annotation["bbox"] = [9, 4, 15, 13]
    files = {"annotations/instances.json": json.dumps(content).encode()}
    files |= {f"images/p{number}.png": draw_image(number) for number in range(22)}

    report, _ = import_zip(tmp_path, files)

    assert {"boxes_of_another_form", "box_outside"} <= codes(report)


def test_sizes_written_as_corners_are_suspected(tmp_path):
    files = change_files("voc")
    for number in range(22):
        files[f"VOC/Annotations/p{number}.xml"] = make_voc_xml([("cat", [9, 4, 6, 9])])

    report, _ = import_zip(tmp_path, files)

    assert "boxes_of_another_form" in codes(report)


def test_an_image_of_another_size_than_annotated_is_reported(tmp_path):
    report, _ = import_zip(
        tmp_path,
        change_files("voc", VOC__Annotations__p=None)
        | {"VOC/Annotations/p0.xml": make_voc_xml(objects(0), size=(200, 160))},
    )

    assert codes(report) == {"image_size_differs"}
    assert (sample(report, "image_size_differs")["found"], sample(report, "image_size_differs")["expected"]) == (
        "20 x 16",
        "200 x 160",
    )


@pytest.mark.parametrize(("name", "file"), [("voc", "VOC/Annotations/p3.xml"), ("yolo", "labels/train/p3.txt")])
def test_an_image_without_annotation_has_no_objects(tmp_path, name, file):
    files = LAYOUTS[name]()
    del files[file]

    report, rows = import_zip(tmp_path, files)

    assert (report.state, codes(report)) == ("ready", {"image_without_objects"})
    assert [] in rows["train"]


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("voc", "VOC/Annotations/second/p1.xml", make_voc_xml([("cat", [0, 0, 9, 9])])),
        ("yolo", "labels/second/p1.txt", make_yolo_text([("cat", [0, 0, 9, 9])])),
    ],
)
def test_an_image_with_two_files_of_annotations_has_the_objects_of_both(tmp_path, name, file, content):
    report, rows = import_zip(tmp_path, LAYOUTS[name]() | {file: content})

    assert (report.state, codes(report)) == ("ready", {"image_listed_twice"})
    both = [[(item["label"], [round(side, 6) for side in item["box"]]) for item in row] for row in rows["train"]]
    assert [("dog", objects(1)[0][1]), ("cat", [0, 0, 9, 9])] in map(sorted_by_class, both)


def sorted_by_class(pairs):
    return sorted(pairs, key=lambda pair: pair[0], reverse=True)


def test_images_that_coco_does_not_list_are_left_out_and_reported(tmp_path):
    report, _ = import_zip(tmp_path, annotations.make_coco() | {"train2017/extra.png": make_png()})

    assert (report.state, codes(report)) == ("ready", {"image_not_listed"})
    assert sum(report.splits.values()) == 22


@pytest.mark.parametrize(
    ("name", "file"),
    [("voc", "VOC/JPEGImages/p3.png"), ("coco", "train2017/p3.png"), ("yolo", "images/train/p3.png")],
)
def test_an_annotation_without_its_image_rejects_the_upload(tmp_path, name, file):
    files = LAYOUTS[name]()
    del files[file]

    report, _ = import_zip(tmp_path, files)

    assert (report.state, codes(report)) == ("rejected", {"image_missing"})


def test_an_unknown_class_is_reported_with_its_location(tmp_path):
    files = annotations.make_yolo() | {"labels/train/p1.txt": make_yolo_text(objects(1)) + b"\n7 0.5 0.5 0.1 0.1\n"}
    report, _ = import_zip(tmp_path / "yolo", files)
    assert codes(report) == {"class_unknown"}
    assert sample(report, "class_unknown") == {
        "file": "a.zip/labels/train/p1.txt",
        "line": 2,
        "found": "class 7",
        "expected": "0 to 1",
    }

    strange = {"id": 0, "image_id": 0, "category_id": 99, "bbox": [1, 1, 2, 2]}
    lost = {"id": 1, "image_id": 1234, "category_id": 10, "bbox": [1, 1, 2, 2]}
    numbers = annotations.numbers_by_split()["train"]
    files = annotations.make_coco()
    files["annotations/instances_train.json"] = make_coco_json(numbers, annotations=[strange, lost])
    report, _ = import_zip(tmp_path / "coco", files)
    assert codes(report) >= {"class_unknown", "annotation_without_image"}
    issue = sample(report, "annotation_without_image")
    assert (issue["row"], issue["column"], issue["found"]) == (2, "annotations", "image_id 1234")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"0 5 5 10 10", "box_not_in_fractions"),
        (b"0 0.5 0.5", "annotation_invalid"),
        (b"cat 0.5 0.5 0.1 0.1", "annotation_invalid"),
        (b"0 0.1 0.1 0.2 0.1 0.2 0.2 0.1", "annotation_invalid"),
        (b"0 1 1 12 1 2 12", "box_not_in_fractions"),
        (b"0 nan 0.5 0.1 0.1", "annotation_invalid"),
    ],
)
def test_an_invalid_line_is_reported(tmp_path, line, code):
    report, _ = import_zip(tmp_path, annotations.make_yolo() | {"labels/train/p1.txt": line})

    assert (report.state, codes(report) - {"image_without_objects"}) == ("rejected", {code})
    assert sample(report, code)["line"] == 1


def test_class_names_may_stand_in_a_list_or_be_missing(tmp_path):
    files = annotations.make_yolo()
    del files["data.yaml"]
    listed, _ = import_zip(tmp_path / "list", files | {"classes.txt": b"cat\ndog\n"})
    assert (listed.classes, codes(listed)) == (["cat", "dog"], set())

    nowhere, _ = import_zip(tmp_path / "nowhere", files)
    assert (nowhere.classes, codes(nowhere)) == (["0", "1"], {"classes_without_names"})


def test_yaml_may_number_its_names_and_cannot_run_code(tmp_path):
    numbered, _ = import_zip(tmp_path / "a", annotations.make_yolo() | {"data.yaml": b"names:\n  0: cat\n  1: dog\n"})
    assert numbered.classes == ["cat", "dog"]

    evil, _ = import_zip(
        tmp_path / "b", annotations.make_yolo() | {"data.yaml": b"names: !!python/object/apply:os.system [x]"}
    )
    assert "annotation_invalid" in codes(evil)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<annotation>\n<object>", "xml_invalid"),
        (b"", "xml_invalid"),
        (b"no xml", "xml_invalid"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>\n<a>&b;</a>', "xml_entity"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<a>&b;</a>', "xml_entity"),
        (b"\n" + b"<a>" * 500, "xml_too_deep"),
    ],
)
def test_invalid_xml_and_xml_with_declarations_are_rejected(tmp_path, content, code):
    with pytest.raises(DataRejected) as rejection:
        read_xml(content)
    assert rejection.value.code == code

    report, _ = import_zip(tmp_path, change_files("voc") | {"VOC/Annotations/p0.xml": content})
    assert report.state == "rejected"
    issue = sample(report, code)
    assert (issue["file"], issue["line"]) == ("a.zip/VOC/Annotations/p0.xml", rejection.value.at.line)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"images": []}', b'{"images": [1], "annotations": [], "categories": []}']
)
def test_json_that_is_not_coco_is_rejected(tmp_path, content):
    report, _ = import_zip(tmp_path, annotations.make_coco() | {"annotations/instances_val.json": content})

    assert report.state == "rejected"
    assert sample(report, "annotation_invalid")["file"] == "a.zip/annotations/instances_val.json"


def test_two_files_with_different_class_names_are_reported(tmp_path):
    files = {**annotations.make_yolo(), "old/data.yaml": b"names: [dog, cat]\n"}
    report, _ = import_zip(tmp_path, files)
    issue = sample(report, "class_names_differ")
    assert (issue["file"], issue["found"]) == ("a.zip/old/data.yaml", "dog, cat")
    assert issue["expected"] == "cat, dog, as in a.zip/data.yaml"


@pytest.mark.parametrize("part", ["images", "categories"])
def test_a_duplicate_id_is_rejected(tmp_path, part):
    twice = {"images": {"id": 1, "file_name": "p1.png"}, "categories": {"id": 1, "name": "cat"}}[part]
    files = {
        "instances.json": annotations.make_coco_json([1, 2], **{part: [twice, twice]}),
        "p1.png": annotations.draw_image(1),
    }
    report, _ = import_zip(tmp_path, files)
    assert sample(report, "annotation_invalid")["found"] == f"{part}: id 1 twice"


def test_a_polygon_is_imported_as_its_bounding_box(tmp_path):
    corners = [(0.1, 0.5), (0.3, 0.25), (0.5, 0.75)]
    line = " ".join(["1", *(str(fraction) for corner in corners for fraction in corner)])
    report, rows = import_zip(tmp_path, annotations.make_yolo() | {"labels/train/p1.txt": line.encode()})
    assert (report.state, codes(report)) == ("ready", {"outline_as_box"})
    box = [0.1 * annotations.WIDTH, 0.25 * annotations.HEIGHT, 0.5 * annotations.WIDTH, 0.75 * annotations.HEIGHT]
    assert [{"label": "dog", "box": pytest.approx(box)}] in rows["train"]


def test_segmentation_masks_are_not_imported_as_images(tmp_path):
    masks = {f"VOC/Segmentation{kind}/p1.png": make_png(90) for kind in ("Class", "Object")}
    report, _ = import_zip(tmp_path, annotations.make_voc() | masks)
    assert (report.state, codes(report), report.accepted) == ("ready", {"file_ignored"}, 22)


@pytest.mark.parametrize("name", ["result.json", "labels.json"])
def test_coco_files_are_detected_by_the_names_of_other_tools(tmp_path, name):
    numbers = list(range(22))
    files = {f"images/p{number}.png": draw_image(number) for number in numbers}
    report, _ = import_zip(tmp_path, {name: make_coco_json(numbers), **files})
    assert (report.state, report.guess.format, report.classes) == ("ready", "coco", ["cat", "dog"])


def test_only_the_lists_for_detection_decide_on_the_splits_of_voc(tmp_path):
    names = [f"p{number}" for number in range(22)]
    other_lists = {
        "VOC/ImageSets/Segmentation/train.txt": "\n".join([*names[14:], "elsewhere"]).encode(),
        "VOC/ImageSets/Main/trainval.txt": "\n".join(names[:18]).encode(),
        "VOC/ImageSets/Main/cat_train.txt": b"p0 1\np1 -1\n",
    }
    report, _ = import_zip(tmp_path, annotations.make_voc() | other_lists)
    assert (report.state, codes(report)) == ("ready", set())
    assert report.splits == {"train": 14, "validation": 4, "test": 4}


@all_formats
def test_the_request_has_precedence_over_folders_and_lists(tmp_path, name):
    archive = make_zip(LAYOUTS[name]().items())
    report = upload(tmp_path, {"a.zip": archive}, splits={"a.zip": "train"})
    assert report.splits["train"] == 18
