import base64
import json

import numpy as np
import pytest

from ml.data.column_types.objects import ObjectsType
from ml.data.dataset import Dataset
from ml.data.issues import DataRejected, IssueLog
from ml.data.limits import Limits
from tests.support.ml.annotations import HEIGHT, WIDTH, draw_image, objects
from tests.support.ml.dataset_files import codes, make_parquet, sample, upload


def boxes(cell):
    return [(annotation["label"], annotation["box"]) for annotation in ObjectsType.from_cell(cell).objects]


@pytest.mark.parametrize(
    "cell",
    [
        [{"label": "cat", "box": [1, 2, 4, 6]}],
        '[{"label": "cat", "box": [1, 2, 4, 6]}]',
        {"bbox": [[1, 2, 3, 4]], "category": ["cat"]},
        {"bbox": [[1, 2, 3, 4]], "category": ["cat"], "id": [7]},
        [{"category": "cat", "bbox": [1, 2, 3, 4]}],
    ],
)
def test_a_cell_contains_corners_or_the_hugging_face_format(cell):
    assert boxes(cell) == [("cat", [1, 2, 4, 6])]


@pytest.mark.parametrize("cell", [None, "", "[]", []])
def test_a_cell_may_contain_no_object(cell):
    assert boxes(cell) == []


@pytest.mark.parametrize("cell", ["cat", "{", 7, [1], {"bbox": [[1, 2, 3, 4]], "category": []}])
def test_a_cell_that_is_no_list_of_objects_is_rejected(cell):
    with pytest.raises(DataRejected) as caught:
        ObjectsType.from_cell(cell)
    assert caught.value.code == "objects_not_a_list"


def test_json_lines_contain_images_and_objects(tmp_path):
    rows = [
        {
            "image": base64.b64encode(draw_image(number)).decode(),
            "objects": [{"label": label, "box": box} for label, box in objects(number)],
        }
        for number in range(24)
    ]

    report = upload(tmp_path, {"a.jsonl": "\n".join(map(json.dumps, rows)).encode()}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.summary.facts["objects"]["objects"] == 30
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["objects"]


def test_parquet_contains_them_as_hugging_face_writes_it(tmp_path):
    cells = []
    for number in range(24):
        annotations = objects(number)
        sizes = [[left, top, right - left, bottom - top] for _, (left, top, right, bottom) in annotations]
        cells.append({"bbox": sizes, "category": [label for label, _ in annotations]})
    file = make_parquet({"image": [{"bytes": draw_image(number)} for number in range(24)], "objects": cells})

    report = upload(tmp_path, {"a.parquet": file}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.classes == ["cat", "dog"]


def rows_with(*boxes, form="box"):
    cells = [[{"label": label, "box": box} for label, box in objects(number)] for number in range(24)]
    for row, box in enumerate(boxes):
        cells[row] = [{"label": "cat", form: box}]
    encoded = [base64.b64encode(draw_image(number)).decode() for number in range(24)]
    return [{"image": image, "objects": cell} for image, cell in zip(encoded, cells, strict=True)]


def as_jsonl(rows):
    return {"a.jsonl": "\n".join(map(json.dumps, rows)).encode()}


def as_csv(rows):
    lines = [f"{row['image']}\t{json.dumps(row['objects'])}" for row in rows]
    return {"a.tsv": "\n".join(["image\tobjects", *lines]).encode()}


def as_parquet(rows):
    images = [{"bytes": base64.b64decode(row["image"])} for row in rows]
    return {"a.parquet": make_parquet({"image": images, "objects": [row["objects"] for row in rows]})}


@pytest.mark.parametrize("form", [as_jsonl, as_csv, as_parquet])
@pytest.mark.parametrize(
    ("box", "code"),
    [
        ([15, 2, 30, 9], "box_outside"),
        ([40, 2, 60, 9], "box_off_image"),
        ([5, 5, 5, 9], "box_empty"),
        ([9, 9, 5, 5], "box_reversed"),
    ],
)
def test_a_box_in_a_table_is_checked_against_the_image_in_its_row(tmp_path, form, box, code):
    report = upload(tmp_path, form(rows_with([1, 1, 5, 5], box)), task="object_detection")
    assert report.state == "ready", report.errors
    assert sample(report, code)["row"] == 2
    assert sample(report, code)["found"] == str([float(value) for value in box])
    dataset = Dataset.open(tmp_path / "dataset")
    rows = [row for split in report.splits for row in dataset.rows(split)]
    stored = [annotation["box"] for row in rows for annotation in row["objects"]]
    assert all(0 <= left < right <= WIDTH and 0 <= top < bottom <= HEIGHT for left, top, right, bottom in stored)


def test_corners_in_place_of_sizes_are_reported(tmp_path):
    boxes = [[9, 8, 18, 15]] * 12
    report = upload(tmp_path, as_jsonl(rows_with(*boxes, form="bbox")), task="object_detection")
    issue = sample(report, "boxes_of_another_form")
    assert issue["row"] == 1
    assert issue["found"].startswith("12 of ")


def test_corners_of_few_boxes_are_reported_if_one_of_them_cannot_be_a_size(tmp_path):
    inside, beyond = [2, 2, 12, 12], [WIDTH - 10, 2, WIDTH, 12]
    rows = [
        {"image": base64.b64encode(draw_image(number)).decode(), "objects": {"bbox": [box], "category": ["a"]}}
        for number, box in enumerate([inside] * 11 + [beyond])
    ]
    report = upload(tmp_path, {"a.jsonl": "\n".join(map(json.dumps, rows)).encode()}, task="object_detection")
    assert "boxes_of_another_form" in codes(report)


def test_fractions_in_place_of_pixels_are_rejected(tmp_path):
    report = upload(tmp_path, as_jsonl(rows_with(*[[0.1, 0.2, 0.5, 1.0]] * 24)), task="object_detection")
    assert report.state == "rejected"
    issue = sample(report, "boxes_in_fractions")
    assert (issue["file"], issue["row"], issue["found"]) == ("a.jsonl", 1, "[0.1, 0.2, 0.5, 1.0]")


def test_boxes_are_checked_against_raw_pixels_as_well():
    values = ObjectsType.from_cell([{"label": "cat", "box": [1, 2, 4, 6]}])
    column_type = ObjectsType(issues=IssueLog(max_samples=1), limits=Limits())
    [annotation] = column_type.add_context([values], {"image": np.zeros((1, 5, 7, 3), dtype=np.uint8)})
    assert annotation.size == (7, 5)
