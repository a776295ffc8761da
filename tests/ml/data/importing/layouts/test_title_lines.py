from tests.support.ml.dataset_files import codes, count, sample, upload

ROWS = 60
TABLE = [f"{row % 7}.5,{row % 5}.25,{row % 3}.75,{'ab'[row % 2]}" for row in range(ROWS)]


def _upload(tmp_path, *lines):
    return upload(tmp_path, {"a.csv": "\n".join([*lines, *TABLE]).encode()})


def test_comments_above_a_table_are_left_out(tmp_path):
    report = _upload(tmp_path, "# written by a tool", "# version 2", "x,y,z,label")
    assert (report.state, report.classes, report.accepted) == ("ready", ["a", "b"], ROWS)
    assert count(report, "title_lines_left_out") == 2


def test_names_of_columns_may_stand_in_the_last_comment(tmp_path):
    report = _upload(tmp_path, "# written by numpy", "# x,y,z,label")
    assert report.guess is not None
    assert report.guess.columns["features"] == "x + y + z"
    assert count(report, "title_lines_left_out") == 1


def test_a_title_above_the_names_is_left_out(tmp_path):
    for name, title in (("cells", "Table of things,,,"), ("line", "Table of things")):
        report = _upload(tmp_path / name, title, "x,y,z,label")
        assert report.guess is not None
        assert report.guess.columns["label"] == "label"
        assert sample(report, "title_lines_left_out")["found"] == title


def test_findings_name_the_lines_of_the_upload(tmp_path):
    report = upload(tmp_path, {"a.csv": "\n".join(["# one", "x,y,z,label", *TABLE, "1,2"]).encode()}, max_bad_rows=0)
    assert sample(report, "ragged_row")["line"] == ROWS + 3


def test_hashtags_in_texts_are_no_comments(tmp_path):
    lines = [f"#day {row}, it was fine" for row in range(ROWS)]
    assert "title_lines_left_out" not in codes(upload(tmp_path, {"a.csv": "\n".join(["text,more", *lines]).encode()}))
