"""Datumaro's JSON: boxes, outlines, masks, crowds and what is not used."""

import json

import pytest

from tests.support.ml.dataset_files import codes, count, sample
from tests.support.ml.object_uploads import COUNT, HEIGHT, WIDTH, draw, import_objects

BOX = {"id": 1, "type": "bbox", "attributes": {"occluded": False}, "label_id": 0, "bbox": [2.5, 3.25, 10.0, 8.5]}
#: Box around 5, 6, 12, 14, turned by 30 degrees.
TURNED = [3.468911, 4.785898, 13.531089, 15.214102]
CAT = ["cat", [2.5, 3.25, 12.5, 11.75]]


def make_upload(*annotations):
    files = {f"images/train/{number}.png": draw(number) for number in range(COUNT)}
    items = [
        {
            "id": str(number),
            "annotations": [BOX] if number else annotations,
            "image": {"path": f"{number}.png", "size": [HEIGHT, WIDTH]},
        }
        for number in range(COUNT)
    ]
    categories = {"label": {"labels": [{"name": "cat"}, {"name": "dog"}], "label_groups": [], "attributes": []}}
    content = {"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": categories, "items": items}
    return files | {"annotations/train.json": json.dumps(content).encode()}


@pytest.mark.parametrize(
    ("entry", "box", "code"),
    [
        ({}, CAT[1], None),
        ({"bbox": [5, 6, 7, 8], "attributes": {"rotation": 30}}, TURNED, "box_turned"),
        ({"type": "rotated_bbox", "bbox": [20, 10, 8, 4, 90]}, [18, 6, 22, 14], "box_turned"),
        ({"type": "polygon", "points": [1, 1.5, 9, 2, 5, 20]}, [1, 1.5, 9, 20], "outline_as_box"),
        (
            {"type": "mask", "rle": {"counts": "a97g0000000000000000000000000000m=", "size": [30, 40]}},
            [10, 5, 25, 12],
            "outline_as_box",
        ),
    ],
)
def test_every_annotation_with_an_area_has_the_box_around_it(tmp_path, entry, box, code):
    report, objects = import_objects(tmp_path, make_upload({**BOX, **entry}))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "datumaro", {code} - {None})
    assert objects == {number: [["cat", box] if not number else CAT] for number in range(COUNT)}


def test_crowds_are_marked_and_what_is_not_used_is_counted(tmp_path):
    others = [{"type": kind, "label_id": 0, "points": [1, 2]} for kind in ("label", "points", "polyline", "caption")]
    crowd = {**BOX, "attributes": {"is_crowd": True, "color": "red"}}
    report, objects = import_objects(tmp_path, make_upload(crowd, *others))

    assert codes(report) == {"objects_as_crowd", "annotation_parts_not_read"}
    assert (count(report, "annotation_parts_not_read"), objects[0]) == (5, [[*CAT, "crowd"]])


def test_an_unknown_class_rejects_the_upload(tmp_path):
    report, _ = import_objects(tmp_path, make_upload({**BOX, "label_id": 7}))

    assert (report.state, sample(report, "class_unknown")["found"]) == ("rejected", "label_id 7")
