"""What holds for every format of pictures with objects drawn on them, and what people get wrong in each."""

import json

import pytest

from ml.data.dataset import Dataset
from ml.data.files.xml import read_xml
from ml.data.issues import DataRejected
from tests.support.ml import annotations
from tests.support.ml.annotations import draw_image, make_coco_json, make_voc_xml, make_yolo_text, objects
from tests.support.ml.dataset_files import codes, make_png, make_tar, make_zip, sample, upload

FORMATS = {"voc": annotations.make_voc, "coco": annotations.make_coco, "yolo": annotations.make_yolo}

every = pytest.mark.parametrize("name", list(FORMATS))


def imported(folder, files, **options):
    """The report, and the objects of all rows by split where it is ready."""
    report = upload(folder, {"a.zip": make_zip(files.items())}, **options)
    if report.state != "ready":
        return report, {}
    dataset = Dataset.open(folder / "dataset")
    return report, {split: [row["objects"] for row in dataset.rows(split)] for split in report.splits}


@every
def test_it_is_recognised_and_says_the_same_as_the_others(tmp_path, name):
    report, found = imported(tmp_path, FORMATS[name]())

    assert (report.state, codes(report)) == ("ready", set())
    assert report.guess.format == name
    assert report.guess.task == "object_detection"
    assert report.splits == {"train": 14, "validation": 4, "test": 4}
    assert report.classes == ["cat", "dog"]
    expected = sorted(([label, box] for number in range(14) for label, box in objects(number)), key=str)
    said = [[each["label"], [round(side, 6) for side in each["box"]]] for row in found["train"] for each in row]
    assert sorted(said, key=str) == expected


@every
def test_a_picture_has_its_own_objects(tmp_path, name):
    imported(tmp_path, FORMATS[name]())

    for row in Dataset.open(tmp_path / "dataset").rows("test"):
        for each in row["objects"]:
            left, top, right, bottom = (round(side) for side in each["box"])
            assert (row["image"][top:bottom, left:right] >= 100).all()


@every
def test_tar_is_read_like_zip(tmp_path, name):
    in_zip, _ = imported(tmp_path / "zip", FORMATS[name]())
    in_tar = upload(tmp_path / "tar", {"a.tar": make_tar(FORMATS[name]().items())})

    assert in_tar.summary.digest == in_zip.summary.digest


def test_annotations_and_pictures_may_come_apart(tmp_path):
    files = annotations.make_coco()
    pictures = {file: data for file, data in files.items() if file.endswith(".png")}
    loose = {file.rpartition("/")[2]: data for file, data in files.items() if file.endswith(".json")}

    report = upload(tmp_path, {"pictures.zip": make_zip(pictures.items()), **loose}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.splits == {"train": 14, "validation": 4, "test": 4}


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
    files = {}
    for start, split in ((0, "train"), (20, "valid"), (40, "test")):
        numbers = list(range(start, start + 4))
        images = [{"id": number, "file_name": f"{number - start}.png"} for number in numbers]
        files[f"{split}/_annotations.coco.json"] = make_coco_json(numbers, images=images)
        files |= {f"{split}/{number - start}.png": draw_image(number) for number in numbers}

    report, found = imported(tmp_path, files)

    assert report.splits == {"train": 4, "validation": 4, "test": 4}
    assert found["test"][0][0]["box"] == objects(40)[0][1]


def changed(name, **files):
    """The usual upload, some files of it replaced, left out (None) or added."""
    merged = {**FORMATS[name](), **{file.replace("__", "/"): data for file, data in files.items()}}
    return {file: data for file, data in merged.items() if data is not None}


def with_boxes(tmp_path, *boxes, label="cat"):
    files = changed("voc")
    files["VOC/Annotations/p0.xml"] = make_voc_xml([(label, list(box)) for box in boxes])
    return imported(tmp_path, files)


@pytest.mark.parametrize(
    ("box", "code", "kept"),
    [
        ((-4, 2, 8, 9), "box_outside", [0, 2, 8, 9]),
        ((4, 2, 26, 19), "box_outside", [4, 2, 20, 16]),
        ((8, 9, 2, 3), "box_reversed", [2, 3, 8, 9]),
        ((5, 5, 5, 5), "box_empty", None),
        ((5, 5, 9, 5), "box_empty", None),
        ((30, 2, 40, 9), "box_off_picture", None),
    ],
)
def test_a_box_that_cannot_be_is_mended_or_left_out_and_told(tmp_path, box, code, kept):
    report, found = with_boxes(tmp_path, box, (1, 1, 3, 3))

    assert (report.state, codes(report)) == ("ready", {code})
    assert report.repaired == 1
    place = sample(report, code)
    assert place["file"] == "a.zip/VOC/JPEGImages/p0.png"
    assert "found" in place
    row = next(row for row in found["train"] if {"label": "cat", "box": [1, 1, 3, 3]} in row)
    assert [each["box"] for each in row][:-1] == ([kept] if kept else [])


def test_a_box_that_is_off_by_rounding_is_cut_without_a_word(tmp_path):
    report, found = with_boxes(tmp_path, (0, 0, 20.9, 16))

    assert codes(report) == set()
    assert any(each["box"] == [0, 0, 20, 16] for row in found["train"] for each in row)


def test_the_same_box_twice_is_one(tmp_path):
    report, _ = with_boxes(tmp_path, (1, 1, 4, 4), (1, 1, 4, 4))

    assert codes(report) == {"box_duplicate"}


@pytest.mark.parametrize("box", [("1", "2", "x", "4"), ("nan", 1, 2, 3), ("", 1, 2, 3)])
def test_a_box_is_four_numbers(tmp_path, box):
    report, _ = with_boxes(tmp_path, box)

    assert (report.state, codes(report)) == ("rejected", {"box_not_numbers"})


def test_an_object_has_a_label(tmp_path):
    report, _ = with_boxes(tmp_path, (1, 1, 4, 4), label=" ")

    assert codes(report) == {"object_without_label"}


def test_corners_taken_for_sizes_are_suspected(tmp_path):
    content = json.loads(make_coco_json(list(range(22))))
    for each in content["annotations"]:
        each["bbox"] = [9, 4, 15, 13]
    files = {"annotations/instances.json": json.dumps(content).encode()}
    files |= {f"images/p{number}.png": draw_image(number) for number in range(22)}

    report, _ = imported(tmp_path, files)

    assert {"boxes_of_another_form", "box_outside"} <= codes(report)


def test_sizes_taken_for_corners_are_suspected(tmp_path):
    files = changed("voc")
    for number in range(22):
        files[f"VOC/Annotations/p{number}.xml"] = make_voc_xml([("cat", [9, 4, 6, 9])])

    report, _ = imported(tmp_path, files)

    assert "boxes_of_another_form" in codes(report)


def test_a_picture_of_another_size_than_was_drawn_on_is_told(tmp_path):
    report, _ = imported(
        tmp_path,
        changed("voc", VOC__Annotations__p=None)
        | {"VOC/Annotations/p0.xml": make_voc_xml(objects(0), size=(200, 160))},
    )

    assert codes(report) == {"picture_size_differs"}
    assert (sample(report, "picture_size_differs")["found"], sample(report, "picture_size_differs")["expected"]) == (
        "20 x 16",
        "200 x 160",
    )


@pytest.mark.parametrize(("name", "file"), [("voc", "VOC/Annotations/p3.xml"), ("yolo", "labels/train/p3.txt")])
def test_a_picture_without_annotation_shows_nothing(tmp_path, name, file):
    files = FORMATS[name]()
    del files[file]

    report, found = imported(tmp_path, files)

    assert (report.state, codes(report)) == ("ready", {"picture_without_objects"})
    assert [] in found["train"]


def test_pictures_that_coco_does_not_list_are_left_out_and_told(tmp_path):
    report, _ = imported(tmp_path, annotations.make_coco() | {"train2017/extra.png": make_png()})

    assert (report.state, codes(report)) == ("ready", {"picture_not_listed"})
    assert sum(report.splits.values()) == 22


@pytest.mark.parametrize(
    ("name", "file"),
    [("voc", "VOC/JPEGImages/p3.png"), ("coco", "train2017/p3.png"), ("yolo", "images/train/p3.png")],
)
def test_an_annotation_without_its_picture_rejects(tmp_path, name, file):
    files = FORMATS[name]()
    del files[file]

    report, _ = imported(tmp_path, files)

    assert (report.state, codes(report)) == ("rejected", {"picture_missing"})


def test_an_unknown_class_is_told_with_its_place(tmp_path):
    files = annotations.make_yolo() | {"labels/train/p1.txt": make_yolo_text(objects(1)) + b"\n7 0.5 0.5 0.1 0.1\n"}
    report, _ = imported(tmp_path / "yolo", files)
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
    report, _ = imported(tmp_path / "coco", files)
    assert codes(report) >= {"class_unknown", "annotation_without_picture"}
    place = sample(report, "annotation_without_picture")
    assert (place["row"], place["column"], place["found"]) == (2, "annotations", "image_id 1234")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"0 5 5 10 10", "box_not_in_shares"),
        (b"0 0.5 0.5", "annotation_invalid"),
        (b"cat 0.5 0.5 0.1 0.1", "annotation_invalid"),
        (b"0 0.1 0.1 0.2 0.1 0.2 0.2 0.1", "annotation_invalid"),
        (b"0 1 1 12 1 2 12", "box_not_in_shares"),
        (b"0 nan 0.5 0.1 0.1", "annotation_invalid"),
    ],
)
def test_a_line_that_is_no_box_is_told(tmp_path, line, code):
    report, _ = imported(tmp_path, annotations.make_yolo() | {"labels/train/p1.txt": line})

    assert (report.state, codes(report) - {"picture_without_objects"}) == ("rejected", {code})
    assert sample(report, code)["line"] == 1


def test_names_may_stand_in_a_list_or_nowhere(tmp_path):
    files = annotations.make_yolo()
    del files["data.yaml"]
    listed, _ = imported(tmp_path / "list", files | {"classes.txt": b"cat\ndog\n"})
    assert (listed.classes, codes(listed)) == (["cat", "dog"], set())

    nowhere, _ = imported(tmp_path / "nowhere", files)
    assert (nowhere.classes, codes(nowhere)) == (["0", "1"], {"classes_without_names"})


def test_yaml_may_number_its_names_and_cannot_do_anything(tmp_path):
    numbered, _ = imported(tmp_path / "a", annotations.make_yolo() | {"data.yaml": b"names:\n  0: cat\n  1: dog\n"})
    assert numbered.classes == ["cat", "dog"]

    evil, _ = imported(
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
def test_xml_that_is_none_or_declares_anything_is_refused(tmp_path, content, code):
    with pytest.raises(DataRejected) as refused:
        read_xml(content)
    assert refused.value.code == code

    report, _ = imported(tmp_path, changed("voc") | {"VOC/Annotations/p0.xml": content})
    assert report.state == "rejected"
    told = sample(report, code)
    assert (told["file"], told["line"]) == ("a.zip/VOC/Annotations/p0.xml", refused.value.at.line)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"images": []}', b'{"images": [1], "annotations": [], "categories": []}']
)
def test_json_that_is_not_coco_is_refused(tmp_path, content):
    report, _ = imported(tmp_path, annotations.make_coco() | {"annotations/instances_val.json": content})

    assert report.state == "rejected"
    assert sample(report, "annotation_invalid")["file"] == "a.zip/annotations/instances_val.json"


def test_crowds_are_left_out_and_told(tmp_path):
    crowd = {"id": 0, "image_id": 0, "category_id": 10, "bbox": [1, 1, 2, 2], "iscrowd": 1}
    files = annotations.make_coco()
    usual = json.loads(files["annotations/instances_train.json"])
    usual["annotations"].append(crowd)
    files["annotations/instances_train.json"] = json.dumps(usual).encode()

    report, _ = imported(tmp_path, files)

    assert (report.state, codes(report)) == ("ready", {"objects_as_crowd"})


def test_names_that_two_files_tell_unlike_are_told(tmp_path):
    files = {**annotations.make_yolo(), "old/data.yaml": b"names: [dog, cat]\n"}
    report, _ = imported(tmp_path, files)
    told = sample(report, "class_names_differ")
    assert (told["file"], told["found"]) == ("a.zip/old/data.yaml", "dog, cat")
    assert told["expected"] == "cat, dog, as in a.zip/data.yaml"


@pytest.mark.parametrize("part", ["images", "categories"])
def test_an_id_that_stands_for_two_is_refused(tmp_path, part):
    twice = {"images": {"id": 1, "file_name": "p1.png"}, "categories": {"id": 1, "name": "cat"}}[part]
    files = {
        "instances.json": annotations.make_coco_json([1, 2], **{part: [twice, twice]}),
        "p1.png": annotations.draw_image(1),
    }
    report, _ = imported(tmp_path, files)
    assert sample(report, "annotation_invalid")["found"] == f"{part}: id 1 twice"


def test_of_an_outline_the_box_around_it_is_taken(tmp_path):
    shares = [(0.1, 0.5), (0.3, 0.25), (0.5, 0.75)]
    line = " ".join(["1", *(str(share) for corner in shares for share in corner)])
    report, found = imported(tmp_path, annotations.make_yolo() | {"labels/train/p1.txt": line.encode()})
    assert (report.state, codes(report)) == ("ready", {"outline_as_box"})
    box = [0.1 * annotations.WIDTH, 0.25 * annotations.HEIGHT, 0.5 * annotations.WIDTH, 0.75 * annotations.HEIGHT]
    assert [{"label": "dog", "box": pytest.approx(box)}] in found["train"]


def test_masks_beside_the_pictures_are_none(tmp_path):
    masks = {f"VOC/Segmentation{kind}/p1.png": make_png(90) for kind in ("Class", "Object")}
    report, _ = imported(tmp_path, annotations.make_voc() | masks)
    assert (report.state, codes(report), report.accepted) == ("ready", {"file_ignored"}, 22)


@pytest.mark.parametrize("name", ["result.json", "labels.json"])
def test_what_other_tools_call_their_coco_is_known(tmp_path, name):
    numbers = list(range(22))
    files = {f"images/p{number}.png": draw_image(number) for number in numbers}
    report, _ = imported(tmp_path, {name: make_coco_json(numbers), **files})
    assert (report.state, report.guess.format, report.classes) == ("ready", "coco", ["cat", "dog"])
