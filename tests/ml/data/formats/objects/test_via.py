"""VGG Image Annotator: its regions, and the attribute that names the class."""

import json
import math

import pytest

from tests.support.ml.dataset_files import codes, count
from tests.support.ml.object_uploads import COUNT, draw, import_objects

RECT = {"name": "rect", "x": 2, "y": 3, "width": 10, "height": 8}
CAT = ["cat", [2, 3, 12, 11]]


def make_upload(*shapes, labels=None, is_project=True, are_numbered=False):
    labels = labels or {"class": "cat"}
    entries = {}
    for number in range(COUNT):
        regions = [
            {"shape_attributes": shape, "region_attributes": labels} for shape in (shapes if not number else [RECT])
        ]
        entries[f"{number}.png123"] = {
            "filename": f"{number}.png",
            "size": 123,
            "regions": {str(index): region for index, region in enumerate(regions)} if are_numbered else regions,
            "file_attributes": {},
        }
    content = {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}} if is_project else entries
    files = {f"images/{number}.png": draw(number) for number in range(COUNT)}
    return files | {"via_project.json": json.dumps(content).encode()}


@pytest.mark.parametrize(
    ("shape", "box", "code"),
    [
        (RECT, CAT[1], None),
        ({"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 3, 20]}, [1, 2, 9, 20], "outline_as_box"),
        ({"name": "circle", "cx": 20, "cy": 15, "r": 5}, [15, 10, 25, 20], "outline_as_box"),
        (
            {"name": "ellipse", "cx": 20, "cy": 15, "rx": 6, "ry": 3, "theta": math.pi / 2},
            [17, 9, 23, 21],
            "outline_as_box",
        ),
    ],
)
def test_every_region_with_an_area_has_the_box_around_it(tmp_path, shape, box, code):
    report, objects = import_objects(tmp_path, make_upload(shape))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "via", {code} - {None})
    assert objects == {number: [["cat", box] if not number else CAT] for number in range(COUNT)}


@pytest.mark.parametrize(
    "options", [{"is_project": False}, {"are_numbered": True}, {"labels": {"kind": {"cat": True}}}]
)
def test_all_forms_of_the_file_are_read(tmp_path, options):
    report, objects = import_objects(tmp_path, make_upload(RECT, **options))

    assert (report.state, codes(report), objects[0]) == ("ready", set(), [CAT])


def test_other_attributes_and_points_are_counted(tmp_path):
    point = {"name": "point", "cx": 1, "cy": 2}
    report, objects = import_objects(tmp_path, make_upload(RECT, point, labels={"note": "far", "name": "cat"}))

    assert objects[0] == [CAT]
    assert count(report, "annotation_parts_not_read") == COUNT + 1
