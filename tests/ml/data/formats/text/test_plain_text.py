import gzip

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_zip, upload

PARAGRAPHS = [f"{'Long ' * 20}paragraph {number}.\nIts second line." for number in range(400)]
LONG = "\n\n".join(PARAGRAPHS)


def texts(folder, split):
    return list(Dataset.open(folder / "dataset").rows(split).columns["text"])


def test_one_long_text_is_held_out_at_its_end(tmp_path):
    report = upload(tmp_path, {"book.txt": LONG.encode()}, task="text_generation")
    assert (report.state, codes(report)) == ("ready", set())
    parts = {split: "\n\n".join(texts(tmp_path, split)) for split in ("train", "validation", "test")}
    assert "\n\n".join(parts.values()) == LONG
    shares = [len(part) / len(LONG) for part in parts.values()]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_it_is_cut_where_paragraphs_end(tmp_path):
    upload(tmp_path, {"book.txt": LONG.encode()}, task="text_generation")
    assert all(text.endswith("Its second line.") for text in texts(tmp_path, "train"))


def test_files_named_after_splits_are_these(tmp_path):
    report = upload(
        tmp_path,
        {"train.txt": LONG.encode(), "test.txt": b"Another text.\n\nOf two.", "valid.txt": b"And one."},
        task="text_generation",
    )
    assert texts(tmp_path, "validation") == ["And one."]
    assert "\n\n".join(texts(tmp_path, "test")) == "Another text.\n\nOf two."
    assert report.splits["train"] > 100


@pytest.mark.parametrize("loose", [True, False])
def test_of_several_files_each_is_a_text(tmp_path, loose):
    files = {f"{number}.txt": PARAGRAPHS[number].encode() for number in range(20)}
    members = [(f"letters/{name}", content) for name, content in files.items()]
    given = files if loose else {"letters.zip": make_zip(members)}
    report = upload(tmp_path, given, task="text_generation")
    assert report.state == "ready"
    found = [text for split in ("train", "validation", "test") for text in texts(tmp_path, split)]
    assert sorted(found) == sorted(PARAGRAPHS[:20])


def test_encodings_and_line_ends_are_settled(tmp_path):
    text = "".join(f"Grüße aus Köln.\r\nZeile {number}.\r\n\r\n" for number in range(400))
    upload(tmp_path, {"brief.txt.gz": gzip.compress(text.encode("utf-16"))}, task="text_generation")
    assert texts(tmp_path, "train")[0].startswith("Grüße aus Köln.\nZeile 0.\n\nGrüße")


def test_a_member_that_is_no_text_is_told_with_its_place(tmp_path):
    members = [("a.txt", b"fine"), ("b.txt", b"\xff\xfe\xff"), ("c.txt", b"PK\0\1")]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="text_generation")
    (found,) = [entry for entry in report.errors if entry.code == "not_text"]
    assert found.sample[-1]["file"] == "a.zip/c.txt"
    assert report.state == "rejected"


def test_prose_is_known_without_a_task_and_a_table_is_not_taken_for_it(tmp_path):
    prose = upload(tmp_path / "prose", {"book.txt": LONG.encode()})
    table = upload(tmp_path / "table", {"table.txt": b"text,label\n" + b"a film,good\n" * 3 + b"the song,bad\n" * 3})
    assert prose.summary is not None
    assert prose.summary.format == "plain_text"
    assert table.summary is None or table.summary.format == "csv"


@pytest.mark.parametrize(("text", "encoding"), [("Grüße aus Köln", "cp1252"), ("从前有一个人住在山里", "gb18030")])
def test_members_in_other_encodings_are_read_as_loose_files_are(tmp_path, text, encoding):
    members = [(f"{number}.txt", f"{text} {number}".encode(encoding)) for number in range(24)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="text_generation")
    assert (report.state, codes(report)) == ("ready", {"encoding_guessed"})
    assert all(each.startswith(text) for each in texts(tmp_path, "train"))


def test_the_encoding_of_a_long_text_is_told_once(tmp_path):
    book = ("从前有一个人住在山里。\n" * 400).encode("gb18030")
    report = upload(tmp_path, {"book.txt": book}, task="text_generation")
    assert [each.count for each in report.errors if each.code == "encoding_guessed"] == [1]


def test_a_table_in_utf_16_is_no_text(tmp_path):
    rows = "".join(f"it was {number}\t{'good' if number % 2 else 'bad'}\r\n" for number in range(40))
    report = upload(tmp_path, {"Unicode Text.txt": f"text\tlabel\r\n{rows}".encode("utf-16")})
    assert (report.guess.format, report.classes) == ("csv", ["bad", "good"])
