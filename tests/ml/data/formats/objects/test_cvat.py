"""CVAT's own XML: shapes of images, tracks of videos, subsets."""

import pytest

from tests.support.ml.dataset_files import codes, count, sample, upload
from tests.support.ml.object_uploads import COUNT, HEIGHT, WIDTH, draw, import_objects, read_objects

BOX = '<box label="cat" occluded="0" xtl="2.50" ytl="3.25" xbr="12.50" ybr="11.75" z_order="0"></box>'
#: Box around 5, 6, 12, 14, turned by 30 degrees.
TURNED = [3.468911, 4.785898, 13.531089, 15.214102]
CAT = ["cat", [2.5, 3.25, 12.5, 11.75]]


def make_xml(shapes, *, subset=lambda number: ""):
    images = "".join(
        f'<image id="{number}" name="shots/{number}.png" {subset(number)} width="{WIDTH}" height="{HEIGHT}">'
        f"{BOX if number else shapes}</image>"
        for number in range(COUNT)
    )
    meta = "<version>1.1</version><meta><task><name>t</name></task></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{meta}{images}</annotations>'.encode()


def make_upload(xml, *, name="annotations.xml"):
    return {f"images/shots/{number}.png": draw(number) for number in range(COUNT)} | {name: xml}


@pytest.mark.parametrize(
    ("shape", "box", "code"),
    [
        (BOX, CAT[1], None),
        ('<box label="cat" xtl="5" ytl="6" xbr="12" ybr="14" rotation="30"/>', TURNED, "box_turned"),
        ('<polygon label="cat" points="1.00,1.50;9.00,2.00;5.00,20.00"/>', [1, 1.5, 9, 20], "outline_as_box"),
        ('<ellipse label="cat" cx="20" cy="15" rx="6" ry="3" rotation="90"/>', [17, 9, 23, 21], "outline_as_box"),
        (
            '<mask label="cat" rle="2, 3, 1, 5, 1" left="10" top="4" width="6" height="2"/>',
            [10, 4, 15, 6],
            "outline_as_box",
        ),
        (
            '<cuboid label="cat" xtl1="1" ytl1="2" xbl1="1" ybl1="9" xtr1="8" ytr1="2" xbr1="8" ybr1="9" '
            'xtl2="3" ytl2="1" xbl2="3" ybl2="8" xtr2="10" ytr2="1" xbr2="10" ybr2="8"/>',
            [1, 1, 10, 9],
            "outline_as_box",
        ),
    ],
)
def test_every_shape_with_an_area_has_the_box_around_it(tmp_path, shape, box, code):
    report, objects = import_objects(tmp_path, make_upload(make_xml(shape)))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "cvat", {code} - {None})
    assert objects == {number: [["cat", box] if not number else CAT] for number in range(COUNT)}


def test_unused_annotations_are_counted(tmp_path):
    shapes = BOX.replace("></box>", '><attribute name="color">red</attribute></box>')
    shapes += '<points label="cat" points="1,2"/><polyline label="cat" points="1,2;3,4"/><tag label="cat"/>'
    shapes += '<skeleton label="cat"><points label="1" points="1,2"/></skeleton>'
    report, objects = import_objects(tmp_path, make_upload(make_xml(shapes)))

    assert (count(report, "annotation_parts_not_read"), objects[0]) == (5, [CAT])


def test_subsets_and_names_of_files_are_splits(tmp_path):
    xml = make_xml(BOX, subset=lambda number: f'subset="{"Test" if number % 4 == 3 else "Train"}"')
    report, _ = import_objects(tmp_path / "subset", make_upload(xml))
    # No validation split is named, so a tenth of train becomes one.
    assert report.splits == {"train": 16, "validation": 2, "test": 6}

    report, _ = import_objects(tmp_path / "name", make_upload(xml.replace(b'subset="Train"', b""), name="train.xml"))
    assert report.splits == {"train": 16, "validation": 2, "test": 6}


def test_tracks_give_the_boxes_of_their_frames(tmp_path):
    shapes = "".join(
        f'<box frame="{number}" outside="{int(number > 20)}" xtl="{number}" ytl="1" xbr="{number + 5}" ybr="9"/>'
        for number in range(2, COUNT)
    )
    xml = f'<annotations><version>1.1</version><track id="0" label="cat">{shapes}</track></annotations>'
    files = {f"images/frame_{number:06}.PNG": draw(number) for number in range(COUNT)}
    report, objects = import_objects(tmp_path, files | {"annotations.xml": xml.encode()})

    assert (report.state, sample(report, "annotation_parts_not_read")["found"]) == ("ready", "track: 1")
    assert objects == {
        number: [["cat", [number, 1, number + 5, 9]]] if 2 <= number <= 20 else [] for number in range(COUNT)
    }


def test_the_xml_may_be_uploaded_beside_the_images(tmp_path):
    files = {f"{number}.png": draw(number) for number in range(COUNT)}
    report = upload(tmp_path, {**files, "annotations.xml": make_xml(BOX)}, task="object_detection")

    assert (report.state, report.guess.format, codes(report)) == ("ready", "cvat", set())
    assert read_objects(tmp_path, report)[3] == [CAT]


@pytest.mark.parametrize(
    "shape", ['<polygon label="cat" points="1,x"/>', '<mask label="cat" rle="" left="1" top="1"/>']
)
def test_an_invalid_shape_is_reported_with_its_image(tmp_path, shape):
    report, _ = import_objects(tmp_path, make_upload(make_xml(shape)))

    assert report.state == "rejected"
    assert sample(report, "box_not_numbers")["row"] == 1


def test_an_image_that_is_missing_rejects_the_upload(tmp_path):
    files = make_upload(make_xml(BOX))
    del files["images/shots/5.png"]
    report, _ = import_objects(tmp_path, files)

    assert sample(report, "image_missing")["found"] == "shots/5.png"
