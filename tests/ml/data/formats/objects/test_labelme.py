"""LabelMe: shapes, groups, images within the JSON, and XML of the earlier LabelMe."""

import base64
import json

import pytest

from tests.support.ml.dataset_files import codes, count, sample
from tests.support.ml.object_uploads import COUNT, HEIGHT, WIDTH, draw, import_objects

RECTANGLE = {"label": "cat", "points": [[12.5, 11.75], [2.5, 3.25]], "group_id": None, "shape_type": "rectangle"}
CAT = ["cat", [2.5, 3.25, 12.5, 11.75]]


def make_json(number, shapes, **changes):
    content = {"version": "5.10.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\shots\\{number}.png"}
    content |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    return json.dumps({**content, **changes}).encode()


def make_upload(*shapes):
    files = {f"shots/{number}.png": draw(number) for number in range(COUNT)}
    return files | {
        f"labels/{number}.json": make_json(number, [RECTANGLE] if number else shapes) for number in range(COUNT)
    }


@pytest.mark.parametrize(
    ("shape", "box", "code"),
    [
        (RECTANGLE, CAT[1], None),
        ({"shape_type": "polygon", "points": [[1, 1.5], [9, 2], [5, 20]]}, [1, 1.5, 9, 20], "outline_as_box"),
        ({"points": [[1, 1.5], [9, 2], [5, 20]]}, [1, 1.5, 9, 20], "outline_as_box"),
        ({"shape_type": "circle", "points": [[20, 15], [23, 19]]}, [15, 10, 25, 20], "outline_as_box"),
        ({"shape_type": "mask", "points": [[2, 3], [8, 9]], "mask": "iVBO"}, [2, 3, 9, 10], "outline_as_box"),
        ({"shape_type": "rotation", "points": [[5, 1], [9, 5], [5, 9], [1, 5]]}, [1, 1, 9, 9], "box_turned"),
    ],
)
def test_every_shape_with_an_area_has_the_box_around_it(tmp_path, shape, box, code):
    report, objects = import_objects(tmp_path, make_upload({"label": "cat", **shape}))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "labelme", {code} - {None})
    assert objects == {number: [["cat", box] if not number else CAT] for number in range(COUNT)}


def test_shapes_of_one_group_are_parts_of_one_object(tmp_path):
    parts = [{**RECTANGLE, "group_id": 1}, {**RECTANGLE, "group_id": 1, "points": [[20, 2], [25, 5]]}]
    _, objects = import_objects(tmp_path, make_upload(*parts, {**RECTANGLE, "group_id": 2, "label": "dog"}))

    assert objects[0] == [["cat", [2.5, 2, 25, 11.75]], ["dog", CAT[1]]]


def test_unused_annotations_are_counted(tmp_path):
    shapes = [{"label": "cat", "shape_type": kind, "points": [[1, 1]]} for kind in ("point", "line", "linestrip")]
    report, objects = import_objects(tmp_path, make_upload({**RECTANGLE, "flags": {"blurred": True}}, *shapes))

    assert (count(report, "annotation_parts_not_read"), objects[0]) == (4, [CAT])


def test_an_image_may_stand_in_the_json_alone(tmp_path):
    files = {
        f"{number}.json": make_json(number, [RECTANGLE], imageData=base64.b64encode(draw(number)).decode())
        for number in range(COUNT)
    }
    report, objects = import_objects(tmp_path, files)

    assert (report.state, report.guess.format, codes(report)) == ("ready", "labelme", set())
    assert objects == {number: [CAT] for number in range(COUNT)}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"shapes": 1}', b'{"shapes": [1]}'])
def test_json_without_shapes_is_rejected(tmp_path, content):
    report, _ = import_objects(tmp_path, {**make_upload(RECTANGLE), "labels/x.json": content})

    assert sample(report, "annotation_invalid")["file"] == "a.zip/labels/x.json"


def test_xml_of_the_earlier_labelme_is_read(tmp_path):
    corners = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(2.5, 3.25), (12.5, 3.25), (12.5, 11.75)])
    drawn = (
        f"<object><name>cat</name><deleted>0</deleted><type>bounding_box</type><polygon>{corners}</polygon></object>"
    )
    box = "<box><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax><ymax>9</ymax></box>"
    mask = f"<object><name>dog</name><segm>{box}</segm></object>"
    files = {f"Images/{number}.png": draw(number) for number in range(COUNT)}
    for number in range(COUNT):
        head = (
            f"<filename>{number}.png</filename><folder></folder><source><sourceAnnotation>x</sourceAnnotation></source>"
        )
        size = f"<imagesize><nrows>{HEIGHT}</nrows><ncols>{WIDTH}</ncols></imagesize>"
        body = drawn + mask + drawn.replace("<deleted>0", "<deleted>1")
        files[f"Annotations/{number}.xml"] = f"<annotation>{head}{size}{body}</annotation>".encode()
    report, objects = import_objects(tmp_path, files)

    assert (report.state, report.guess.format) == ("ready", "labelme")
    assert codes(report) == {"outline_as_box", "annotation_parts_not_read"}
    assert objects == {number: [CAT, ["dog", [1, 2, 8, 9]]] for number in range(COUNT)}
