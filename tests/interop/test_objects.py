"""Boxes, classes and splits of datasets that tools for annotation have written."""

import pytest

from tests.interop.conftest import read_scene
from tests.interop.writers.scene import COUNT, TRAIN_COUNT, boxes
from tests.support.ml.dataset_files import codes

#: Form, format that is detected, largest difference of a coordinate in pixels, findings.
DATUMARO = [
    ("coco_instances", "coco", 1e-6, set()),
    ("masks", "coco", 1e-6, {"painted_mask_as_object", "annotation_parts_not_read"}),
    ("voc_detection", "voc", 1e-6, {"voc_origin_unknown"}),
    ("yolo", "yolo", 1e-4, set()),
    ("yolo_ultralytics", "yolo", 1e-4, set()),
    ("cvat", "cvat", 0.005, set()),
    ("label_me", "labelme", 0.005, set()),
    ("kitti_detection", "kitti", 1e-6, set()),
    ("open_images", "open_images", 1e-6, {"file_ignored"}),
    ("datumaro", "datumaro", 1e-6, set()),
]


def assert_scene(folder, report, tolerance, *, has_splits=True):
    assert (report.state, report.classes) == ("ready", ["cat", "dog"])
    scene = read_scene(folder, report)
    assert sorted(scene) == list(range(COUNT))
    for number, (split, objects) in scene.items():
        if has_splits:
            # No test split is named, so a part of train becomes one.
            assert (split == "validation") is (number >= TRAIN_COUNT)
        assert [label for label, _ in objects] == [label for label, _ in boxes(number)]
        for (_, box), (_, expected) in zip(objects, boxes(number), strict=True):
            assert box == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("form", "format", "tolerance", "findings"), DATUMARO)
def test_datumaro(tmp_path, import_written, form, format, tolerance, findings):
    report = import_written("with_datumaro", form)

    assert (report.guess.format, codes(report)) == (format, findings)
    assert_scene(tmp_path, report, tolerance)


@pytest.mark.parametrize(("form", "findings"), [("coco", set()), ("yolo", set()), ("voc", {"boxes_counted_from_one"})])
def test_supervision(tmp_path, import_written, form, findings):
    report = import_written("with_supervision", form, task="object_detection")

    assert (report.guess.format, codes(report)) == (form, findings)
    assert_scene(tmp_path, report, 1e-3)


@pytest.mark.parametrize(
    ("form", "format", "findings"),
    [
        ("COCO", "coco", set()),
        ("YOLO", "yolo", set()),
        ("YOLO_OBB", "yolo", {"outline_as_box"}),
        ("VOC", "voc", {"voc_origin_unknown"}),
        ("JSON", "label_studio", set()),
        ("JSON_MIN", "label_studio", set()),
        ("CSV", "label_studio", set()),
    ],
)
def test_label_studio(tmp_path, import_written, form, format, findings):
    report = import_written("with_label_studio", form)

    assert (report.guess.format, codes(report)) == (format, findings)
    assert_scene(tmp_path, report, 1e-4, has_splits=False)


def test_hugging_face_objects(tmp_path, import_written):
    report = import_written("with_hugging_face", "objects", is_zipped=False)

    assert codes(report) == set()
    assert_scene(tmp_path, report, 1e-4)


def test_webdataset_objects(tmp_path, import_written):
    report = import_written("with_webdataset", "objects", is_zipped=False)

    assert (report.guess.format, codes(report)) == ("image_objects", set())
    assert_scene(tmp_path, report, 1e-6)
