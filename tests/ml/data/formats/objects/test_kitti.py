"""KITTI: lines of 15 or 16 columns, and regions that are not judged."""

import numpy as np
import pytest

from tests.support.ml.dataset_files import codes, count, encode_image, make_tar, sample, upload
from tests.support.ml.object_uploads import COUNT, draw, import_objects, read_objects

CAR = "Car 0.00 0 -1.58 2.50 3.25 12.50 11.75 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
FLAT = "Car 0.0 0 -1 2.5 3.25 12.5 11.75 -1 -1 -1 -1 -1 -1 -1"
IGNORED = "DontCare -1 -1 -10 20.00 2.00 30.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10"
BOX = ["Car", [2.5, 3.25, 12.5, 11.75]]


def make_upload(first, line=FLAT):
    files = {f"training/image_2/{number:06}.png": draw(number) for number in range(COUNT)}
    lines = {f"training/label_2/{number:06}.txt": (line if number else first).encode() for number in range(COUNT)}
    return files | lines


@pytest.mark.parametrize("line", [FLAT, f"{FLAT} 0.87"])
def test_boxes_are_read_from_every_line(tmp_path, line):
    report, objects = import_objects(tmp_path, make_upload(line))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "kitti", set())
    assert objects == {number: [BOX] for number in range(COUNT)}


def test_boxes_in_space_are_counted_as_not_used(tmp_path):
    report, _ = import_objects(tmp_path, make_upload(FLAT, CAR))

    assert count(report, "annotation_parts_not_read") == COUNT - 1


def test_regions_to_ignore_are_crowds_of_every_class(tmp_path):
    lines = "\n".join([FLAT, FLAT.replace("Car", "Van"), IGNORED])
    report, objects = import_objects(tmp_path, make_upload(lines))

    assert (report.state, report.classes) == ("ready", ["Car", "Van"])
    crowds = [[label, [20, 2, 30, 9], "crowd"] for label in ("Car", "Van")]
    assert objects[0] == [BOX, ["Van", BOX[1]], *crowds]
    assert sample(report, "objects_as_crowd")["found"] == "DontCare"


def test_a_tar_that_is_longer_than_what_is_looked_at_is_recognized(tmp_path):
    files = [(name, data) for name, data in make_upload(FLAT).items()]
    noise = encode_image(np.random.default_rng(0).integers(0, 255, (1800, 1800, 3), dtype=np.uint8))
    files += [(f"testing/image_2/{number:06}.png", noise) for number in range(2)]
    report = upload(tmp_path, {"a.tar": make_tar(files)})

    assert (report.state, report.guess.format, codes(report)) == ("ready", "kitti", {"image_not_listed"})
    assert len(read_objects(tmp_path, report)) == COUNT


def test_an_invalid_line_is_reported(tmp_path):
    report, _ = import_objects(tmp_path, make_upload(f"{FLAT}\nCar 1 2"))

    assert (report.state, sample(report, "annotation_invalid")["line"]) == ("rejected", 2)
