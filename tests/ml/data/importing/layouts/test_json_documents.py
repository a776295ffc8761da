import json

import pytest

from tests.support.ml.dataset_files import codes, sample, upload

ROWS = [{"text": f"what a day it was {row}", "label": "ab"[row % 2]} for row in range(40)]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("text", "label")}
DOCUMENTS = {
    "one list": {"version": "1", "data": ROWS},
    "columns": COLUMNS,
    "columns by row": {name: {str(row): cell for row, cell in enumerate(cells)} for name, cells in COLUMNS.items()},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_table_in_one_object_is_read(tmp_path, name):
    report = upload(tmp_path, {"a.json": json.dumps(DOCUMENTS[name], indent=1).encode()})
    assert (report.state, report.accepted, report.classes) == ("ready", 40, ["a", "b"])
    assert sample(report, "document_as_rows")["found"] == "40 rows"


def test_rows_by_split_keep_their_splits(tmp_path):
    pairs = [[row["text"], row["label"]] for row in ROWS]
    for name, rows in (("objects", ROWS), ("pairs", pairs)):
        data = json.dumps({"train": rows[:30], "val": rows[30:35], "test": rows[35:]}).encode()
        assert upload(tmp_path / name, {"a.json": data}).splits == {"train": 30, "validation": 5, "test": 5}


def test_several_lists_are_no_table(tmp_path):
    data = json.dumps({"images": [{"id": 1}, {"id": 2}], "annotations": [{"id": 1}, {"id": 2}]}).encode()
    assert "document_as_rows" not in codes(upload(tmp_path, {"a.json": data}))


def test_one_conversation_is_no_table(tmp_path):
    turns = [{"role": ("user", "assistant")[turn % 2], "content": f"word {turn}"} for turn in range(40)]
    for indent in (None, 1):
        report = upload(tmp_path / str(indent), {"a.json": json.dumps({"messages": turns}, indent=indent).encode()})
        assert report.guess is not None
        assert (report.guess.format, report.accepted) == ("conversations", 20)


def test_one_session_is_no_table(tmp_path):
    report = upload(tmp_path, {"a.jsonl": json.dumps({"user": 1, "items": [[1, 2], [3, 4]]}).encode()})
    assert "document_as_rows" not in codes(report)
