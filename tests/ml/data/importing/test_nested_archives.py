"""Tables and texts in an archive are read like direct uploads."""

import pytest

from tests.support.ml.dataset_files import codes, make_parquet, make_tar, make_zip, sample, upload

ROWS = [(f"it was really {number}", "yes" if number % 2 else "no") for number in range(40)]
CSV = "".join(["text,label\n", *(f"{text},{label}\n" for text, label in ROWS)]).encode()
PARQUET = make_parquet({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
ENGLISH = "".join(f"The man number {number}.\n" for number in range(40)).encode()
GERMAN = "".join(f"Der Mann Nummer {number}.\n" for number in range(40)).encode()


@pytest.mark.parametrize("task", [None, "text_classification"])
@pytest.mark.parametrize(("name", "data"), [("IMDB Dataset.csv", CSV), ("data/a.parquet", PARQUET)])
@pytest.mark.parametrize("pack", [make_zip, make_tar])
def test_a_table_may_come_in_an_archive(tmp_path, pack, name, data, task):
    alone = upload(tmp_path / "alone", {name.rpartition("/")[2]: data}, task=task)
    report = upload(tmp_path / "packed", {"archive.zip": pack([(name, data), ("README.md", b"hello")])}, task=task)
    assert (report.state, codes(report)) == ("ready", {"file_beside_data"})
    assert (report.guess, report.summary.digest) == (alone.guess, alone.summary.digest)


def test_a_table_in_an_archive_has_its_split_and_location(tmp_path):
    members = [("imdb/train.csv", CSV), ("imdb/test.csv", b"text,label\nit was it,yes\n,no\nodd\n")]
    report = upload(tmp_path, {"archive.zip": make_zip(members)})
    assert report.splits["test"] == 1
    assert sample(report, "ragged_row")["file"] == "archive.zip/imdb/test.csv"


def test_two_aligned_files_may_come_in_an_archive(tmp_path):
    members = [("x.en-de.en", ENGLISH), ("x.en-de.de", GERMAN), ("README", b"hello"), ("LICENSE", b"free")]
    report = upload(tmp_path, {"x.en-de.zip": make_zip(members)}, task="translation")
    assert (report.state, report.guess.format, report.rows) == ("ready", "aligned_texts", 40)


@pytest.mark.parametrize("name", ["x.en-de.ids", "x.en-de.xml", "x.en-de.scores", "x.en-de.confidence", "all.ids"])
@pytest.mark.parametrize("task", [None, "translation"])
def test_files_beside_two_aligned_ones_are_left_out_and_reported(tmp_path, name, task):
    beside = b"<?xml version='1.0'?><cesAlign/>\n" if name.endswith("xml") else b"0.9\t1\n" * 40
    members = {"x.en-de.en": ENGLISH, "x.en-de.de": GERMAN, name: beside}
    packed = upload(tmp_path / "packed", {"x.zip": make_zip(members.items())}, task=task)
    loose = upload(tmp_path / "loose", members, task=task)
    for report in (packed, loose):
        assert (report.state, report.guess.format, report.rows) == ("ready", "aligned_texts", 40)
        assert sample(report, "file_ignored")["file"].endswith(name)


def test_the_note_in_a_published_zip_of_sentences_is_no_table(tmp_path):
    rows = [f"I see {number} dogs.\tJe vois {number} chiens.\tCC-BY 2.0 Attribution: x\n" for number in range(40)]
    members = [("fra.txt", "".join(rows).encode()), ("_about.txt", b"** Info **\n\nDate of this file:\n  2026\n")]
    for task in (None, "translation"):
        report = upload(tmp_path / str(task), {"fra-eng.zip": make_zip(members)}, task=task)
        assert (report.state, report.guess.task, report.rows) == ("ready", "translation", 40)


def test_a_file_that_is_no_table_is_reported(tmp_path):
    members = [("a.csv", CSV), ("b.bin", b"\0\1\2")]
    report = upload(tmp_path / "beside", {"a.zip": make_zip(members)})
    assert (report.state, codes(report)) == ("ready", {"file_ignored"})
