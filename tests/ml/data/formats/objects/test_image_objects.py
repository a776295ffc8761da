"""JSON of objects beside each image, in shards of WebDataset and in zip."""

import json

import pytest

from tests.support.ml.dataset_files import codes, count, make_tar, upload
from tests.support.ml.object_uploads import COUNT, draw, import_objects, read_objects

CAT = ["cat", [2, 3, 12, 11]]


def make_upload(content, *, folder=""):
    files = {}
    for number in range(COUNT):
        files[f"{folder}{number:06}.jpg"] = draw(number, suffix="JPEG")
        files[f"{folder}{number:06}.json"] = json.dumps(content).encode()
    return files


@pytest.mark.parametrize(
    "content",
    [
        {"objects": [{"label": "cat", "box": [2, 3, 12, 11]}]},
        {"annotations": [{"category": "cat", "bbox": [2, 3, 10, 8]}]},
        {"objects": {"bbox": [[2, 3, 10, 8]], "categories": ["cat"]}},
        {"boxes": [[2, 3, 12, 11]], "labels": ["cat"]},
        {"bbox": [[2, 3, 10, 8]], "label": ["cat"]},
        {"boxes": [{"label": "cat", "box": [2, 3, 12, 11]}], "width": 40, "height": 30},
    ],
)
def test_objects_are_read_in_all_usual_forms(tmp_path, content):
    report, objects = import_objects(tmp_path, make_upload(content))

    assert (report.state, report.guess.format, codes(report)) == ("ready", "image_objects", set())
    assert objects == {number: [CAT] for number in range(COUNT)}


def test_shards_named_by_splits_keep_them(tmp_path):
    files = list(make_upload({"objects": [{"label": "cat", "box": [2, 3, 12, 11]}]}).items())
    shards = {"train-000000.tar": make_tar(files[:36]), "val-000000.tar": make_tar(files[36:])}
    report = upload(tmp_path, shards)

    assert (report.state, report.guess.format, codes(report)) == ("ready", "image_objects", set())
    assert (report.splits["validation"], len(read_objects(tmp_path, report))) == (6, COUNT)


def test_an_empty_list_means_no_objects_and_other_fields_are_counted(tmp_path):
    files = make_upload({"objects": [{"label": "cat", "box": [2, 3, 12, 11], "score": 1}], "weather": "rain"})
    files["000000.json"] = b'{"objects": []}'
    report, objects = import_objects(tmp_path, files)

    assert (codes(report), objects[0]) == ({"image_without_objects", "annotation_parts_not_read"}, [])
    assert count(report, "annotation_parts_not_read") == COUNT - 1
