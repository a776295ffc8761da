import base64
import json

import pytest

from ml.data.dataset import Dataset
from ml.data.findings import Refused
from ml.data.kinds.objects import ObjectsKind
from tests.ml.data.annotations import objects, picture
from tests.ml.data.makers import codes, parquet, upload


def boxes(cell):
    return [(each["label"], each["box"]) for each in ObjectsKind.from_cell(cell).objects]


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
def test_a_cell_holds_corners_or_what_hugging_face_stores(cell):
    assert boxes(cell) == [("cat", [1, 2, 4, 6])]


@pytest.mark.parametrize("cell", [None, "", "[]", []])
def test_a_cell_may_hold_no_object(cell):
    assert boxes(cell) == []


@pytest.mark.parametrize("cell", ["cat", "{", 7, [1], {"bbox": [[1, 2, 3, 4]], "category": []}])
def test_what_is_no_list_of_objects_is_refused(cell):
    with pytest.raises(Refused) as refused:
        ObjectsKind.from_cell(cell)
    assert refused.value.code == "objects_not_a_list"


def test_json_lines_bring_pictures_and_objects(tmp_path):
    rows = [
        {
            "image": base64.b64encode(picture(number)).decode(),
            "objects": [{"label": label, "box": box} for label, box in objects(number)],
        }
        for number in range(24)
    ]

    report = upload(tmp_path, {"a.jsonl": "\n".join(map(json.dumps, rows)).encode()}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.summary.facts["objects"]["objects"] == 30
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["objects"]


def test_parquet_brings_them_as_hugging_face_writes_it(tmp_path):
    cells = []
    for number in range(24):
        found = objects(number)
        sizes = [[left, top, right - left, bottom - top] for _, (left, top, right, bottom) in found]
        cells.append({"bbox": sizes, "category": [label for label, _ in found]})
    file = parquet({"image": [{"bytes": picture(number)} for number in range(24)], "objects": cells})

    report = upload(tmp_path, {"a.parquet": file}, task="object_detection")

    assert (report.state, codes(report)) == ("ready", set())
    assert report.classes == ["cat", "dog"]
