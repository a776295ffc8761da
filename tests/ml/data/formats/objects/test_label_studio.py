"""Label Studio: JSON, JSON-MIN and CSV, turned regions, several annotators, and names of images."""

import csv
import io
import json

import pytest

from tests.support.ml.dataset_files import codes, count, make_zip, sample, upload
from tests.support.ml.object_uploads import COUNT, HEIGHT, WIDTH, draw, import_objects, read_objects

SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
VALUE = {"x": 25, "y": 10, "width": 50, "height": 20, "rotation": 0, "rectanglelabels": ["cat"]}
CAT = ["cat", [10, 3, 30, 9]]


def make_region(value=VALUE, kind="rectanglelabels", **changes):
    return {**SIZE, "value": value, "type": kind, "id": "a", "from_name": "label", "to_name": "image", **changes}


def make_task(number, *annotations, image=lambda number: f"/data/upload/1/1a2b3c4d-{number}.png"):
    return {"id": number + 1, "annotations": list(annotations), "data": {"image": image(number)}, "project": 1}


def make_annotation(*regions, **changes):
    return {"id": 1, "completed_by": 1, "result": list(regions), "was_cancelled": False, **changes}


def import_tasks(folder, first, **options):
    """Import tasks whose first has the annotations `first`, and all others one box."""
    tasks = [
        make_task(number, *(first if not number else [make_annotation(make_region())]), **options)
        for number in range(COUNT)
    ]
    files = {f"images/{number}.png": draw(number) for number in range(COUNT)}
    return import_objects(folder, files | {"export.json": json.dumps(tasks).encode()})


@pytest.mark.parametrize(
    ("region", "box", "code"),
    [
        (make_region(), CAT[1], None),
        # A quarter turn about the left upper corner, in pixels.
        (make_region({**VALUE, "rotation": 90}), [4, 3, 10, 23], "box_turned"),
        (
            make_region({"points": [[0, 10], [50, 10], [25, 50]], "polygonlabels": ["cat"]}, "polygonlabels"),
            [0, 3, 20, 15],
            "outline_as_box",
        ),
        (
            make_region({"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["cat"]}, "ellipselabels"),
            [16, 9, 24, 21],
            "outline_as_box",
        ),
    ],
)
def test_every_region_with_an_area_has_the_box_around_it(tmp_path, region, box, code):
    report, objects = import_tasks(tmp_path, [make_annotation(region)])

    assert (report.state, report.guess.format, codes(report)) == ("ready", "label_studio", {code} - {None})
    assert objects == {number: [["cat", box] if not number else CAT] for number in range(COUNT)}


def test_a_label_may_stand_in_a_region_of_its_own(tmp_path):
    bare = make_region({name: VALUE[name] for name in ("x", "y", "width", "height")}, "rectangle", id="b")
    _, objects = import_tasks(tmp_path, [make_annotation(bare, make_region({"labels": ["dog"]}, "labels", id="b"))])

    assert objects[0] == [["dog", CAT[1]]]


def test_one_of_several_annotations_is_chosen_and_reported(tmp_path):
    dog = make_region({**VALUE, "rectanglelabels": ["dog"]})
    entries = [
        make_annotation(make_region(), id=1, updated_at="2026-01-02"),
        make_annotation(dog, id=2, updated_at="2026-01-03"),
        make_annotation(make_region(), id=3, updated_at="2026-01-04", was_cancelled=True),
    ]
    report, objects = import_tasks(tmp_path / "latest", entries)
    assert (objects[0], codes(report)) == ([["dog", CAT[1]]], {"annotators_several"})
    assert sample(report, "annotators_several")["expected"] == "id 2, which was read"

    entries[0]["ground_truth"] = True
    _, objects = import_tasks(tmp_path / "truth", entries)
    assert objects[0] == [CAT]


def test_an_empty_annotation_says_that_an_image_shows_no_objects(tmp_path):
    report, objects = import_tasks(tmp_path, [make_annotation()])

    assert (codes(report), objects[0]) == ({"image_without_objects"}, [])


@pytest.mark.parametrize("first", [[], [make_annotation(make_region(), was_cancelled=True)]])
def test_a_task_without_annotations_is_left_out_and_reported(tmp_path, first):
    report, objects = import_tasks(tmp_path, first)

    assert (report.state, codes(report)) == ("ready", {"image_not_annotated", "image_not_listed"})
    assert sorted(objects) == list(range(1, COUNT))


def test_unused_annotations_are_counted(tmp_path):
    others = [make_region({"choices": ["night"]}, "choices"), make_region({"format": "rle", "rle": [0]}, "brushlabels")]
    report, objects = import_tasks(tmp_path, [make_annotation(make_region(), *others)])

    assert (count(report, "annotation_parts_not_read"), objects[0]) == (2, [CAT])


@pytest.mark.parametrize(
    "image",
    [
        lambda number: f"/data/upload/1/1a2b3c4d-{number}.png",
        lambda number: f"/data/local-files/?d=shots%2Fimages/{number}.png",
        lambda number: f"s3://bucket/images/{number}.png",
        lambda number: f"https://localhost/images/{number}.png?signature=1",
        lambda number: f"{number}.png",
    ],
)
def test_images_are_named_in_every_way_of_the_tool(tmp_path, image):
    report, objects = import_tasks(tmp_path, [make_annotation(make_region())], image=image)

    assert (report.state, codes(report), len(objects)) == ("ready", set(), COUNT)


def make_flat(number):
    return {
        "image": f"/data/upload/1/1a2b3c4d-{number}.png",
        "id": number,
        "annotator": 1,
        "label": [{**VALUE, **SIZE}],
    }


def test_json_min_and_csv_give_the_same_boxes(tmp_path):
    rows = [make_flat(number) for number in range(COUNT)]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "label": json.dumps(row["label"])} for row in rows)
    files = {f"images/{number}.png": draw(number) for number in range(COUNT)}
    for name, data in (("min.json", json.dumps(rows).encode()), ("export.csv", table.getvalue().encode())):
        report, objects = import_objects(tmp_path / name, files | {name: data})
        assert (report.state, report.guess.format, codes(report)) == ("ready", "label_studio", set())
        assert objects == {number: [CAT] for number in range(COUNT)}


def test_the_list_may_be_uploaded_beside_the_images(tmp_path):
    tasks = [make_task(number, make_annotation(make_region())) for number in range(COUNT)]
    archive = make_zip([(f"{number}.png", draw(number)) for number in range(COUNT)])
    report = upload(tmp_path, {"images.zip": archive, "export.json": json.dumps(tasks).encode()})

    assert (report.state, codes(report), len(read_objects(tmp_path, report))) == ("ready", set(), COUNT)


def test_lists_of_several_files_in_one_list_are_read(tmp_path):
    tasks = [make_task(number, make_annotation(make_region())) for number in range(COUNT)]
    files = {f"images/{number}.png": draw(number) for number in range(COUNT)}
    report, objects = import_objects(tmp_path, files | {"result.json": json.dumps([tasks[:9], tasks[9:]]).encode()})

    assert (report.state, codes(report), len(objects)) == ("ready", set(), COUNT)


def test_another_list_is_read_as_a_table(tmp_path):
    report = upload(tmp_path, {"list.json": b'[{"text": "a"}, {"text": "b"}]'})

    assert (report.state, report.guess.format, report.rows) == ("ready", "jsonl", 2)
