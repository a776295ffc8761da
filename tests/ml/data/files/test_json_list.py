"""One JSON list of objects, as Alpaca and ShareGPT are published."""

import json

import pytest

from ml.data.dataset import Dataset
from ml.data.files import json_list
from tests.support.ml.dataset_files import codes, make_zip, sample, upload

ROWS = [{"instruction": f"say {row}", "input": "é\u2028[{", "output": f"it is said {row}"} for row in range(60)]
CHATS = [
    {"conversations": [{"from": "human", "value": f"ask {row}"}, {"from": "gpt", "value": f"answer {row}"}]}
    for row in range(60)
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_a_list_is_read_as_lines_are(tmp_path, monkeypatch, indent, encoding, block):
    monkeypatch.setattr(json_list, "_BLOCK_CHARACTERS", block)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    expected = upload(tmp_path / "lines", {"a.jsonl": lines})
    text = json.dumps(ROWS, indent=indent, ensure_ascii=False)
    report = upload(tmp_path / "list", {"a.json": text.encode(encoding)})

    assert (report.state, report.guess.columns) == ("ready", {"prompt": "instruction + input", "text": "output"})
    assert report.summary.digest == expected.summary.digest


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_list_of_conversations_is_read(tmp_path, is_packed):
    data = json.dumps(CHATS).encode()
    report = upload(tmp_path, {"a.zip": make_zip([("chats.json", data)])} if is_packed else {"chats.json": data})

    assert (report.state, report.guess.format, report.rows) == ("ready", "conversations", 60)
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["text"].startswith("answer")


def test_a_list_that_is_cut_off_is_refused(tmp_path):
    report = upload(tmp_path, {"a.json": json.dumps(ROWS).encode()[:-30]})

    assert (report.state, codes(report)) == ("rejected", {"json_invalid"})
    assert sample(report, "json_invalid")["file"] == "a.json"


def test_a_document_with_its_rows_in_an_inner_list_is_refused_by_name(tmp_path):
    data = json.dumps({"version": "1.1", "data": [{"title": "a", "paragraphs": []}, {"title": "b", "paragraphs": []}]})
    report = upload(tmp_path, {"train-v1.1.json": data.encode()})

    assert (report.state, codes(report)) == ("rejected", {"json_is_one_document"})
    assert sample(report, "json_is_one_document")["found"] == "2 objects in data"
