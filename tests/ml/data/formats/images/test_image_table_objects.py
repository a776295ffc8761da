"""Images with a table of their objects, in a column or in rows."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from ml.tasks import TASKS
from tests.support.ml.dataset_files import codes, make_png, make_zip, sample, upload

COUNT = 24
IMAGES = [(f"{number:02}.png", make_png(number)) for number in range(COUNT)]
EXPECTED = [{"label": "cup", "box": [1, 1, 4, 5]}, {"label": "pen", "box": [0, 3, 2, 6]}]
COCO_BOXES = [[1, 1, 3, 4], [0, 3, 2, 3]]

all_tasks = pytest.mark.parametrize("task", ["object_detection", None])


def read(folder, table, *, name="metadata.csv", task="object_detection", images=IMAGES):
    archive = make_zip([*images, (name, table if isinstance(table, bytes) else table.encode())])
    report = upload(folder, {"a.zip": archive}, task=task, tasks=TASKS)
    return report, Dataset.open(folder / "dataset").rows("train") if report.state == "ready" else []


def make_rows(header, *cells):
    """Return a table with a row for every cell text of every image."""
    lines = [f"{name},{cell}" for name, _ in IMAGES for cell in cells]
    return "\n".join([header, *lines, ""])


def make_objects_tables():
    by_columns = {"bbox": COCO_BOXES, "categories": ["cup", "pen"]}
    by_object = [{"bbox": box, "category": label} for box, label in zip(COCO_BOXES, ("cup", "pen"), strict=True)]
    for key, objects in (("by columns", by_columns), ("by object", by_object)):
        lines = (json.dumps({"file_name": name, "objects": objects}) for name, _ in IMAGES)
        yield f"jsonl {key}", "metadata.jsonl", "\n".join(lines).encode()
        quoted = json.dumps(objects).replace('"', '""')
        yield f"csv {key}", "metadata.csv", make_rows("file_name,objects", f'"{quoted}"').encode()
    lines = (json.dumps({"file_name": name, "bboxes": COCO_BOXES, "labels": ["cup", "pen"]}) for name, _ in IMAGES)
    yield "jsonl without objects", "metadata.jsonl", "\n".join(lines).encode()
    feature = {"feature": {"categories": {"names": ["cup", "pen"], "_type": "ClassLabel"}}, "_type": "Sequence"}
    numbered = {"bbox": COCO_BOXES, "categories": [0, 1]}
    table = pa.table({"file_name": [name for name, _ in IMAGES], "objects": [numbered] * COUNT})
    noted = json.dumps({"info": {"features": {"objects": feature}}})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": noted}), sink)
    yield "parquet", "metadata.parquet", sink.getvalue()


OBJECTS_TABLES = {key: (name, table) for key, name, table in make_objects_tables()}


@all_tasks
@pytest.mark.parametrize("key", list(OBJECTS_TABLES))
def test_objects_of_a_table_are_read(tmp_path, key, task):
    name, table = OBJECTS_TABLES[key]
    report, rows = read(tmp_path, table, name=name, task=task)

    assert (report.state, codes(report), report.guess.task) == ("ready", set(), "object_detection")
    assert all(row["objects"] == EXPECTED for row in rows)


@all_tasks
@pytest.mark.parametrize(
    "table",
    [
        make_rows("filename,width,height,class,xmin,ymin,xmax,ymax", "6,6,cup,1,1,4,5", "6,6,pen,0,3,2,6"),
        make_rows("path,x1,y1,x2,y2,label", "1,1,4,5,cup", "0,3,2,6,pen"),
        make_rows("image_name,label_name,bbox_x,bbox_y,bbox_width,bbox_height", "cup,1,1,3,4", "pen,0,3,2,3"),
        make_rows("image_id,bbox,category", '"[1, 1, 3, 4]",cup', '"[0, 3, 2, 3]",pen'),
    ],
    ids=["tensorflow", "corners", "sides", "list"],
)
def test_rows_of_one_box_become_the_objects_of_their_image(tmp_path, table, task):
    report, rows = read(tmp_path, table, name="_annotations.csv", task=task)

    assert (report.state, codes(report), report.guess.task) == ("ready", set(), "object_detection")
    assert report.accepted == COUNT
    assert all(row["objects"] == EXPECTED for row in rows)


def test_boxes_in_fractions_are_those_of_open_images(tmp_path):
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
    report, rows = read(tmp_path, make_rows(header, "x,cup,1,0.25,0.75,0.5,1"))

    assert (report.state, codes(report)) == ("ready", set())
    assert rows[0]["objects"] == [{"label": "cup", "box": [1.5, 3, 4.5, 6]}]


def test_an_image_with_an_empty_box_has_no_objects_and_another_size_is_reported(tmp_path):
    table = make_rows("filename,width,height,class,xmin,ymin,xmax,ymax", "6,9,cup,1,1,4,5").splitlines()
    report, _ = read(tmp_path, "\n".join([*table[:-1], f"{IMAGES[-1][0]},6,6,,,,,"]))

    assert (report.state, codes(report)) == ("ready", {"image_without_objects", "image_size_differs"})
    assert sample(report, "image_size_differs")["expected"] == "6 x 9"


def test_a_box_of_other_than_numbers_is_rejected(tmp_path):
    header = "filename,class,xmin,ymin,xmax,ymax"
    report, _ = read(tmp_path, make_rows(header, "cup,1,1,four,5"))
    assert (report.state, codes(report)) == ("rejected", {"box_not_numbers"})

    report, _ = read(tmp_path / "list", make_rows("filename,class,bbox", "cup,here"))
    assert "box_not_numbers" in codes(report)


def test_folders_decide_on_the_split_of_rows_of_boxes(tmp_path):
    header = "filename,class,xmin,ymin,xmax,ymax\n"
    files = {}
    for split, numbers in {"train": range(16), "valid": range(16, 20), "test": range(20, 24)}.items():
        files |= {f"{split}/{IMAGES[number][0]}": IMAGES[number][1] for number in numbers}
        lines = "".join(f"{IMAGES[number][0]},cup,1,1,4,5\n" for number in numbers)
        files[f"{split}/_annotations.csv"] = (header + lines).encode()
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, tasks=TASKS)

    assert (report.state, report.splits) == ("ready", {"train": 16, "validation": 4, "test": 4})


@all_tasks
@pytest.mark.parametrize("header", ["file_name,class,x_center,y_center,width,height", "file_name,class,cx,cy,w,h"])
def test_boxes_may_have_a_center(tmp_path, header, task):
    report, rows = read(tmp_path, make_rows(header, "cup,2.5,3,3,4", "pen,1,4.5,2,3"), name="labels.csv", task=task)
    assert report.state == "ready", report.errors
    assert rows.columns["objects"][0] == EXPECTED


@all_tasks
@pytest.mark.parametrize(
    ("header", "cell"),
    [("image_id,width,height,bbox,source", '6,6,"[1.0, 1.0, 3.0, 4.0]",x'), ("image,xmin,ymin,xmax,ymax", "1,1,4,5")],
)
def test_boxes_without_a_class_are_of_one_and_reported(tmp_path, header, cell, task):
    report, rows = read(tmp_path, make_rows(header, cell), name="train.csv", task=task)
    assert (report.state, report.classes) == ("ready", ["object"])
    assert rows.columns["objects"][0] == [{"label": "object", "box": [1, 1, 4, 5]}]
    assert "class" in sample(report, "boxes_without_class")["expected"]
