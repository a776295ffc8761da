"""Text formats that would be read as prose are refused with a way out."""

import pytest

from tests.support.ml.dataset_files import codes, sample, upload

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

    assert (report.state, codes(report)) == ("rejected", {"text_format_not_read"})
    assert sample(report, "text_format_not_read")["found"] == format


def test_lines_with_a_time_are_no_features(tmp_path):
    lines = "".join(f"{row} 9:30 a meeting about plan {row}\n" for row in ROWS)

    assert upload(tmp_path, {"notes.txt": lines.encode()}).state == "ready"
