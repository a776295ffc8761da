import gzip

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_zip, upload

PARAGRAPHS = [f"{'Long ' * 20}paragraph {number}.\nIts second line." for number in range(400)]
LONG = "\n\n".join(PARAGRAPHS)


def imported_texts(folder, split):
    return list(Dataset.open(folder / "dataset").rows(split).columns["text"])


def test_one_long_text_is_held_out_at_its_end(tmp_path):
    report = upload(tmp_path, {"book.txt": LONG.encode()}, task="text_generation")
    assert (report.state, codes(report)) == ("ready", set())
    parts = {split: "\n\n".join(imported_texts(tmp_path, split)) for split in ("train", "validation", "test")}
    assert "\n\n".join(parts.values()) == LONG
    fractions = [len(part) / len(LONG) for part in parts.values()]
    assert fractions == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_a_long_text_is_divided_at_paragraph_ends(tmp_path):
    upload(tmp_path, {"book.txt": LONG.encode()}, task="text_generation")
    assert all(text.endswith("Its second line.") for text in imported_texts(tmp_path, "train"))


def test_files_named_after_splits_form_these(tmp_path):
    report = upload(
        tmp_path,
        {"train.txt": LONG.encode(), "test.txt": b"Another text.\n\nIts second paragraph.", "valid.txt": b"And one."},
        task="text_generation",
    )
    assert imported_texts(tmp_path, "validation") == ["And one."]
    assert "\n\n".join(imported_texts(tmp_path, "test")) == "Another text.\n\nIts second paragraph."
    assert report.splits["train"] > 100


@pytest.mark.parametrize("loose", [True, False])
def test_several_files_are_one_text_each(tmp_path, loose):
    files = {f"{number}.txt": PARAGRAPHS[number].encode() for number in range(20)}
    members = [(f"texts/{name}", content) for name, content in files.items()]
    uploads = files if loose else {"texts.zip": make_zip(members)}
    report = upload(tmp_path, uploads, task="text_generation")
    assert report.state == "ready"
    imported = [text for split in ("train", "validation", "test") for text in imported_texts(tmp_path, split)]
    assert sorted(imported) == sorted(PARAGRAPHS[:20])


def test_encodings_and_line_ends_are_normalized(tmp_path):
    text = "".join(f"Grüße aus Köln.\r\nZeile {number}.\r\n\r\n" for number in range(400))
    upload(tmp_path, {"brief.txt.gz": gzip.compress(text.encode("utf-16"))}, task="text_generation")
    assert imported_texts(tmp_path, "train")[0].startswith("Grüße aus Köln.\nZeile 0.\n\nGrüße")


def test_a_binary_member_is_reported_with_its_name(tmp_path):
    members = [("a.txt", b"fine"), ("b.txt", b"\xff\xfe\xff"), ("c.txt", b"PK\0\1")]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="text_generation")
    (issue,) = [entry for entry in report.errors if entry.code == "not_text"]
    assert issue.sample[-1]["file"] == "a.zip/c.txt"
    assert report.state == "rejected"


def test_prose_is_detected_without_a_task_and_a_table_is_not_prose(tmp_path):
    prose = upload(tmp_path / "prose", {"book.txt": LONG.encode()})
    table = upload(tmp_path / "table", {"table.txt": b"text,label\n" + b"a film,good\n" * 3 + b"the song,bad\n" * 3})
    assert prose.summary is not None
    assert prose.summary.format == "plain_text"
    assert table.summary is None or table.summary.format == "csv"


@pytest.mark.parametrize(("text", "encoding"), [("Grüße aus Köln", "cp1252"), ("从前有一个人住在山里", "gb18030")])
def test_members_in_other_encodings_are_read_like_loose_files(tmp_path, text, encoding):
    members = [(f"{number}.txt", f"{text} {number}".encode(encoding)) for number in range(24)]
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="text_generation")
    assert (report.state, codes(report)) == ("ready", {"encoding_guessed"})
    assert all(line.startswith(text) for line in imported_texts(tmp_path, "train"))


def test_the_encoding_of_a_long_text_is_reported_once(tmp_path):
    book = ("从前有一个人住在山里。\n" * 400).encode("gb18030")
    report = upload(tmp_path, {"book.txt": book}, task="text_generation")
    assert [entry.count for entry in report.errors if entry.code == "encoding_guessed"] == [1]


def test_a_table_in_utf_16_is_no_text(tmp_path):
    rows = "".join(f"it was {number}\t{'good' if number % 2 else 'bad'}\r\n" for number in range(40))
    report = upload(tmp_path, {"Unicode Text.txt": f"text\tlabel\r\n{rows}".encode("utf-16")})
    assert (report.guess.format, report.classes) == ("csv", ["bad", "good"])


@pytest.mark.parametrize("suffix", ["tokens", "raw"])
def test_wikitext_is_a_long_text_for_each_split(tmp_path, suffix):
    text = " \n = Title = \n \n" + "".join(f" It was day {row} , and so it was . \n" for row in range(400))
    members = [
        (f"wikitext-2/wiki.{split}.{suffix}", text.replace("day", split).encode())
        for split in ("train", "valid", "test")
    ]
    report = upload(tmp_path, {"wikitext-2.zip": make_zip(members)})
    assert report.guess is not None
    assert report.guess.format == "plain_text"
    assert min(report.splits.values()) > 0
