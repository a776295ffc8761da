"""Pascal VOC: where its writers count pixels from, turned boxes, and what is not used."""

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_png, make_zip, sample, upload

COUNT = 24
DEVKIT = "<source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation></source>"
SUPERVISION = "<folder>VOC</folder><source><database>roboflow.ai</database></source>"
CVAT = "<source><database>Unknown</database></source>"


def import_boxes(folder, box, *, head="", extra=""):
    """Import one box in every image; return the report and the first box."""
    corners = "".join(
        f"<{name}>{side}</{name}>" for name, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    annotation = f"<annotation>{head}<object><name>cat</name><bndbox>{corners}</bndbox>{extra}</object></annotation>"
    files = {f"{number}.png": make_png(number, side=40) for number in range(COUNT)}
    files |= {f"{number}.xml": annotation.encode() for number in range(COUNT)}
    report = upload(folder, {"a.zip": make_zip(files.items())})
    rows = Dataset.open(folder / "dataset").rows("train") if report.state == "ready" else []
    return report, rows[0]["objects"][0]["box"] if rows else None


@pytest.mark.parametrize("head", [DEVKIT, SUPERVISION])
def test_boxes_of_writers_that_count_from_one_are_moved(tmp_path, head):
    report, box = import_boxes(tmp_path, (1, 3, 12, 40), head=head)

    assert (report.state, codes(report)) == ("ready", {"boxes_counted_from_one"})
    assert (box, count(report, "boxes_counted_from_one")) == ([0, 2, 12, 40], COUNT)


@pytest.mark.parametrize("head", [DEVKIT, CVAT, ""])
def test_a_coordinate_below_one_says_that_pixels_count_from_zero(tmp_path, head):
    report, box = import_boxes(tmp_path, (0, 3, 12, 40), head=head)

    assert (codes(report), box) == (set(), [0, 3, 12, 40])


def test_fractions_say_that_pixels_count_from_zero(tmp_path):
    report, box = import_boxes(tmp_path, (1.25, 3, 12, 39.5), head=CVAT)

    assert (codes(report), box) == (set(), [1.25, 3, 12, 39.5])


@pytest.mark.parametrize("head", [CVAT, ""])
def test_an_origin_that_nothing_tells_is_noted(tmp_path, head):
    report, box = import_boxes(tmp_path, (2, 3, 12, 40), head=head)

    assert (report.state, codes(report), box) == ("ready", {"voc_origin_unknown"}, [2, 3, 12, 40])
    assert sample(report, "voc_origin_unknown")["found"] == "no coordinate below 2, no fraction"


def test_a_turned_box_of_cvat_is_read_as_the_box_around_it(tmp_path):
    extra = "<attributes><attribute><name>rotation</name><value>30.0</value></attribute></attributes>"
    report, box = import_boxes(tmp_path, (5, 6, 12, 14.5), extra=extra)

    assert codes(report) == {"box_turned"}
    assert box == pytest.approx([3.3439, 4.8194, 13.6561, 15.6806], abs=1e-4)


def test_a_turned_box_of_rolabelimg_is_read_as_the_box_around_it(tmp_path):
    turned = "<robndbox><cx>20.5</cx><cy>10</cy><w>8</w><h>4</h><angle>1.5707963267948966</angle></robndbox>"
    report, box = import_boxes(tmp_path, ("", "", "", ""), extra=turned)

    assert codes(report) == {"box_turned"}
    assert box == pytest.approx([18.5, 6, 22.5, 14])


def test_unused_annotations_are_counted(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    marks = "<difficult>1</difficult><truncated>0</truncated>"
    color = "<attributes><attribute><name>color</name><value>red</value></attribute></attributes>"
    report, box = import_boxes(tmp_path, (0, 3, 12, 40), extra=part + marks + color)

    entry = next(entry for entry in report.errors if entry.code == "annotation_parts_not_read")
    assert (entry.count, box) == (3 * COUNT, [0, 3, 12, 40])
    parts = {f"difficult: {COUNT}", f"part: {COUNT}", f"attribute color: {COUNT}"}
    assert {row["found"] for row in entry.sample} == parts
