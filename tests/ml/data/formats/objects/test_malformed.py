"""Documents with values of other types than their format defines are reported, and never raise."""

import copy
import json
import random

import pytest

from tests.ml.data.formats.objects import test_coco, test_datumaro, test_label_studio, test_labelme, test_via
from tests.support.ml.dataset_files import codes, make_zip, upload
from tests.support.ml.object_uploads import draw

MUTATIONS = 60
IMAGES = {f"images/{number}.png": draw(number) for number in range(3)}
VALUES = [None, True, 0, -1, 1.5, 1e300, float("nan"), "", "x", [], {}, [[]], [1], {"a": 1}, "1e999", [[1, 2]], 10**30]
MASK = {"counts": "a97g0000000000000000000000000000m=", "size": [30, 40]}
POLYGON = test_label_studio.make_region({"points": [[0, 1], [5, 5], [3, 2]], "polygonlabels": ["c"]}, "polygonlabels")


def make_coco():
    outline = {**test_coco.BOX, "segmentation": [[1, 1, 2, 2, 3, 5]], "attributes": {"rotation": 30}}
    crowd = {"category_id": 7, "iscrowd": 1, "segmentation": MASK}
    return test_coco.make_content(outline, crowd, numbers=range(3)) | test_coco.BLANK


def make_labelme():
    circle = {"label": "d", "shape_type": "circle", "points": [[1, 2], [3, 4]], "flags": {"a": True}, "group_id": 1}
    return json.loads(test_labelme.make_json(0, [test_labelme.RECTANGLE, circle], imageData="aGVsbG8="))


def make_label_studio():
    annotation = test_label_studio.make_annotation(test_label_studio.make_region(), POLYGON)
    return [test_label_studio.make_task(number, annotation) for number in range(3)]


def make_datumaro():
    others = [{"type": "mask", "label_id": 0, "rle": MASK}, {"type": "rotated_bbox", "bbox": [1, 2, 3, 4, 5]}]
    return json.loads(test_datumaro.make_upload(test_datumaro.BOX, *others)["annotations/train.json"])


def make_via():
    ellipse = {"name": "ellipse", "cx": 1, "cy": 2, "rx": 3, "ry": 4, "theta": 1}
    polygon = {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 5, 3]}
    return json.loads(test_via.make_upload(test_via.RECT, ellipse, polygon)["via_project.json"])


DOCUMENTS = {
    "coco": ("instances.json", make_coco),
    "datumaro": ("train.json", make_datumaro),
    "image_objects": ("images/0.json", lambda: {"objects": [{"label": "c", "box": [1, 2, 3, 4]}], "width": 40}),
    "label_studio": ("export.json", make_label_studio),
    "labelme": ("labels/0.json", make_labelme),
    "via": ("via_project.json", make_via),
}


def list_paths(value, path=()):
    """Yield the paths of values within a JSON value, three in each list."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in items:
        yield from list_paths(item, (*path, key))


def mutate(value, generator):
    changed = copy.deepcopy(value)
    *above, last = generator.choice([path for path in list_paths(value) if path])
    parent = changed
    for key in above:
        parent = parent[key]
    parent[last] = generator.choice(VALUES)
    return changed


@pytest.mark.parametrize("format", list(DOCUMENTS))
def test_a_value_of_any_type_anywhere_raises_nothing(tmp_path, format):
    generator = random.Random(format)
    name, make = DOCUMENTS[format]
    for number in range(MUTATIONS):
        content = json.dumps(mutate(make(), generator)).encode()
        archive = make_zip([*IMAGES.items(), (name, content)])
        report = upload(tmp_path / str(number), {"a.zip": archive}, format=format, task="object_detection")

        assert codes(report)
