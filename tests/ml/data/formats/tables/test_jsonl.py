"""Tables as JSON lines: pixels are read as in CSV."""

import json
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_images, make_labels, sample, upload

IMAGES, NAMES = make_images(40), make_labels(40)
ALL = {"train": 1.0}


def make_records(images: np.ndarray = IMAGES, *, scale: float = 1) -> list[dict[str, Any]]:
    """Make a record for each image, as pandas writes them."""
    rows = images.reshape(len(images), -1).tolist()
    return [
        {"label": name, **{f"pixel{index}": value if scale == 1 else value * scale for index, value in enumerate(row)}}
        for name, row in zip(NAMES, rows, strict=True)
    ]


def make_jsonl(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize("task", [None, "image_classification"])
@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_a_key_per_pixel_is_an_image(tmp_path, task, scale):
    report = upload(tmp_path, {"a.jsonl": make_jsonl(make_records(scale=scale))}, splits=ALL, task=task)

    assert report.state == "ready"
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert np.array_equal(rows.columns["image"].array, IMAGES)
    assert list(rows.columns["label"]) == NAMES


def test_a_shape_makes_any_keys_an_image(tmp_path):
    records = [{name.replace("pixel", "value_of_"): cell for name, cell in row.items()} for row in make_records()]

    report = upload(tmp_path, {"a.jsonl": make_jsonl(records)}, columns={"shape": "4x9"}, splits=ALL)

    assert report.state == "ready"
    assert Dataset.open(tmp_path / "dataset").rows("train").columns["image"].array.shape == (40, 4, 9, 1)


def test_three_channels_are_assumed_with_a_warning(tmp_path):
    records = make_records(make_images(40, channels=3))

    report = upload(tmp_path, {"a.jsonl": make_jsonl(records)})

    assert report.state == "ready"
    assert sample(report, "pixels_shape_assumed") == {"file": "a.jsonl", "found": "108 columns"}


@pytest.mark.parametrize(
    ("cell", "code", "actual"),
    [
        ("x", "pixel_not_a_number", "x"),
        (None, "pixel_not_a_number", "nothing"),
        (True, "pixel_not_a_number", "True"),
        ([1], "pixel_not_a_number", "[1]"),
        (10**400, "pixel_not_a_number", None),
        (float("nan"), "pixel_not_a_number", "nan"),
        (256, "pixel_out_of_range", "256.0"),
        (1e300, "pixel_not_a_number", "inf"),
    ],
)
def test_a_faulty_pixel_rejects_its_row_with_line_and_key(tmp_path, cell, code, actual):
    records = make_records()
    records[29]["pixel7"] = cell

    report = upload(tmp_path, {"a.jsonl": make_jsonl(records)})

    where = sample(report, code)
    assert {key: where[key] for key in ("line", "row", "column")} == {"line": 30, "row": 30, "column": "pixel7"}
    assert actual in (None, where["found"])
    assert (report.rows, report.rejected) == (40, 1)


def test_a_missing_pixel_rejects_its_row(tmp_path):
    records = make_records()
    del records[29]["pixel7"]

    report = upload(tmp_path, {"a.jsonl": make_jsonl(records)})

    assert sample(report, "pixel_not_a_number")["found"] == "nothing"


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 16])
def test_numbers_with_names_of_their_own_need_a_target(tmp_path, count):
    names = [f"{letter}_length" for letter in "abcdefghijklmnop"[:count]]
    records = [{name: (row * 7 + index) % 90 / 10 for index, name in enumerate(names)} for row in range(60)]

    report = upload(tmp_path, {"a.jsonl": make_jsonl(records)})

    assert (report.state, codes(report)) == ("rejected", {"target_not_named"})
    report = upload(tmp_path / "named", {"a.jsonl": make_jsonl(records)}, columns={"label": "a_length"})
    if count == 1:
        assert codes(report) == {"no_columns"}
    else:
        assert (report.state, report.guess.task) == ("ready", "tabular_regression")
        assert report.guess.columns == {"features": " + ".join(names[1:]), "value": "a_length"}


@pytest.mark.parametrize("is_list", [False, True])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_json_in_utf_16_or_with_a_byte_order_mark_is_read(tmp_path, encoding, is_list):
    rows = [{"text": f"žluťoučký kůň {row}", "label": "ab"[row % 2]} for row in range(40)]
    text = json.dumps(rows) if is_list else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    report = upload(tmp_path, {"a.json": text.encode(encoding)})

    assert (report.state, report.guess.format, report.rows) == ("ready", "jsonl", 40)
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["text"].startswith("žluťoučký kůň ")


def test_earlier_turns_are_no_history_of_items(tmp_path):
    turns = {"input": "", "history": [["What is it?", "A bird."]]}
    rows = [{"instruction": f"Name bird {row}", **turns, "output": f"It is bird {row}"} for row in range(40)]
    report = upload(tmp_path, {"a.json": json.dumps(rows).encode()})

    assert (report.state, report.guess.task) == ("ready", "text_generation")
    assert "not read: history" in report.reading
