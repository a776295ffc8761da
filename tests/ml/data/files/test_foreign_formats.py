"""Formats that would be misread are refused with a way out."""

import pytest

from tests.support.ml.dataset_files import codes, make_zip, sample, upload

ROWS = range(30)
ARFF = "% made\n@relation x\n@attribute a numeric\n@data\n" + "".join(f"{row}\n" for row in ROWS)
SVMLIGHT = "".join(f"{'+1' if row % 2 else '-1'} 3:1 {row + 4}:0.5\n" for row in ROWS)
XLIFF = '<?xml version="1.0"?>\n<xliff version="1.2"><file/></xliff>\n'
GETTEXT = '# made\nmsgid ""\nmsgstr ""\n' + "".join(f'\nmsgid "a {row}"\nmsgstr "b {row}"\n' for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [("a.arff", ARFF, "ARFF"), ("a9a", SVMLIGHT, "SVMlight"), ("a.xlf", XLIFF, "XLIFF"), ("de.po", GETTEXT, "gettext")],
)
def test_a_text_of_a_format_that_is_not_read_is_refused(tmp_path, name, content, format):
    report = upload(tmp_path, {name: content.encode()})

    assert (report.state, codes(report)) == ("rejected", {"content_not_read"})
    assert sample(report, "content_not_read")["found"].startswith(format)


@pytest.mark.parametrize(
    ("names", "format"),
    [(["[Content_Types].xml", "xl/workbook.xml"], "Office"), (["x_train.npy", "y_train.npy"], "NumPy")],
)
def test_an_archive_that_is_one_document_is_refused(tmp_path, names, format):
    report = upload(tmp_path, {"a.bin": make_zip((name, b"<Types/>") for name in names)})

    assert (report.state, codes(report)) == ("rejected", {"content_not_read"})
    assert sample(report, "content_not_read")["found"].startswith(format)


def test_lines_with_a_time_are_no_features(tmp_path):
    lines = "".join(f"{row} 9:30 a meeting about plan {row}\n" for row in ROWS)

    assert upload(tmp_path, {"notes.txt": lines.encode()}).state == "ready"


def test_an_array_of_numpy_is_refused_by_name(tmp_path):
    report = upload(tmp_path, {"images.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}" + bytes(200)})

    assert sample(report, "content_not_read")["found"] == "NumPy"


@pytest.mark.parametrize(
    "cell", ['"[{""role"": ""user"", ""content"": ""hi""}]"', "\"[{'from': 'human', 'value': 'hi'}]\""]
)
def test_conversations_in_cells_are_refused_by_name(tmp_path, cell):
    rows = "".join(f"{row},{cell}\n" for row in ROWS)
    report = upload(tmp_path, {"chats.csv": f"id,messages\n{rows}".encode()})

    assert sample(report, "content_not_read")["found"] == "conversations in the cells of a table"
    texts = "".join(f"{row},a message {row}\n" for row in ROWS)
    assert upload(tmp_path / "texts", {"a.csv": f"id,messages\n{texts}".encode()}).state == "ready"
