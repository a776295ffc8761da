"""Texts as people bring them: encodings, line ends, quotes, ragged rows; tables and folders."""

import codecs
import json

import pytest

from ml.data.dataset import Dataset
from ml.data.files.text import decode_text
from tests.support.ml.dataset_files import codes, count, make_tar, make_zip, sample, upload

GOOD = [f"a good film , number {number}" for number in range(20)]
BAD = [f"a bad film , number {number}" for number in range(20)]
SIMPLIFIED = "这部电影很好，我们都喜欢它。演员的表演非常出色，故事也很感人。"  # noqa: RUF001 - as it is written
TRADITIONAL = "這部電影很好，我們都喜歡它。演員的表演非常出色，故事也很感人。"  # noqa: RUF001
WESTERN = "Ein schöner Film über die Größe des Menschen, très émouvant et à voir."


def table(texts: list[str] = GOOD + BAD, *, header: str = "text\tlabel\n", end: str = "\n") -> str:
    return (header + "".join(f"{text}\t{int('good' in text)}\n" for text in texts)).replace("\n", end)


def texts_of(folder, report) -> set[str]:
    return {row["text"] for split in report.splits for row in Dataset.open(folder / "dataset").rows(split)}


def folders(above: str = "", ending: str = ".txt") -> list[tuple[str, bytes]]:
    members = [(f"{above}pos/{number}_9{ending}", text.encode()) for number, text in enumerate(GOOD)]
    return members + [(f"{above}neg/{number}_1{ending}", text.encode()) for number, text in enumerate(BAD)]


@pytest.mark.parametrize("header", ["text\tlabel\n", "sentence\tsentiment\n", "Review\tClass\n", ""])
def test_tab_separated_files_are_read_with_and_without_a_header(tmp_path, header):
    report = upload(tmp_path, {"train.tsv": table(header=header).encode()}, task="text_classification")
    assert (report.state, codes(report)) == ("ready", set())
    assert report.classes == ["0", "1"]
    assert texts_of(tmp_path, report) == {*GOOD, *BAD}


@pytest.mark.parametrize("end", ["\r\n", "\r", "mixed"])
def test_line_ends_of_other_systems_are_read(tmp_path, end):
    data = table(end="\n" if end == "mixed" else end)
    if end == "mixed":
        half = data.index("\n", len(data) // 2)
        data = data[:half].replace("\n", "\r\n") + data[half:]
    report = upload(tmp_path, {"train.tsv": data.encode()})
    assert (report.state, codes(report)) == ("ready", set())
    assert texts_of(tmp_path, report) == {*GOOD, *BAD}


@pytest.mark.parametrize(
    ("words", "encoding", "guess"),
    [
        (SIMPLIFIED, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (WESTERN, "latin-1", "cp1252"),
        (WESTERN, "cp1252", "cp1252"),
    ],
)
def test_other_encodings_are_guessed_and_reported(tmp_path, words, encoding, guess):
    texts = [f"{text} {words}" for text in GOOD + BAD]
    report = upload(tmp_path, {"a.tsv": table(texts).encode(encoding)})
    assert report.state == "ready"
    assert sample(report, "encoding_guessed")["found"] == guess
    assert texts_of(tmp_path, report) == set(texts)
    assert decode_text(words.encode(encoding)) == (words, guess)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark_is_not_part_of_the_first_column_name(tmp_path, mark):
    encoding = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}[mark]
    report = upload(tmp_path, {"a.tsv": mark + table().encode(encoding)})
    assert (report.state, codes(report)) == ("ready", set())
    assert report.guess is not None
    assert report.guess.columns == {"text": "text", "label": "label"}
    assert decode_text(mark + SIMPLIFIED.encode(encoding)) == (SIMPLIFIED, None)


def test_a_quoted_text_may_contain_newlines_quotes_and_delimiters(tmp_path):
    odd = 'two\nlines, a "quote", and a comma'
    quoted = '"two\nlines, a ""quote"", and a comma",1\n'
    rows = "".join(f'"{text}",{int("good" in text)}\n' for text in GOOD + BAD)
    report = upload(tmp_path, {"a.csv": f"text,label\n{quoted}{rows}".encode()})
    assert (report.state, codes(report)) == ("ready", set())
    assert odd in texts_of(tmp_path, report)


def test_ragged_rows_and_empty_texts_are_reported_with_line_and_row(tmp_path):
    lines = table().splitlines()
    lines[3] += "\tmore"
    lines[5] = "no label"
    lines[7] = "\t1"
    report = upload(tmp_path, {"a.tsv": "\n".join(lines).encode()}, task="text_classification")
    assert report.state == "rejected"
    locations = {
        entry.code: [(location["line"], location["row"]) for location in entry.sample]
        for entry in report.errors
        if entry.code in ("ragged_row", "text_missing")
    }
    assert locations == {"ragged_row": [(4, 3), (6, 5)], "text_missing": [(8, 7)]}
    assert sample(report, "ragged_row") == {"file": "a.tsv", "line": 4, "row": 3, "found": "3 cells", "expected": "2"}


def test_columns_of_json_lines_can_be_chosen(tmp_path):
    rows = [{"id": n, "review": text, "stars": "good" in text} for n, text in enumerate(GOOD + BAD)]
    data = "\n".join(map(json.dumps, rows)).encode()
    report = upload(tmp_path, {"a.jsonl": data}, columns={"text": "review", "label": "stars"})
    assert report.state == "ready"
    assert texts_of(tmp_path, report) == {*GOOD, *BAD}
    assert len(report.classes or []) == 2


@pytest.mark.parametrize("ending", [".txt", ".TXT"])
@pytest.mark.parametrize("pack", [make_zip, make_tar])
def test_folders_of_text_files_name_split_and_class(tmp_path, pack, ending):
    members = folders("aclImdb/train/", ending) + [
        (name.replace("/train/", "/test/"), data + b" once more") for name, data in folders("aclImdb/train/", ending)
    ]
    report = upload(tmp_path, {"imdb": pack(members)})
    assert (report.state, codes(report)) == ("ready", set())
    assert report.guess is not None
    assert (report.guess.format, report.guess.task) == ("text_folders", "text_classification")
    assert report.classes == ["neg", "pos"]
    assert report.splits["test"] == 40
    assert texts_of(tmp_path, report) == {*GOOD, *BAD, *(f"{text} once more" for text in GOOD + BAD)}


def test_lists_and_texts_without_a_class_are_left_out_and_reported(tmp_path):
    members = folders("aclImdb/train/")
    members += [("aclImdb/README", b"about"), ("aclImdb/imdb.vocab", b"the"), ("aclImdb/train/urls_pos.txt", b"http:")]
    members += [(f"aclImdb/train/unsup/{number}_0.txt", b"who knows") for number in range(3)]
    report = upload(tmp_path, {"imdb.zip": make_zip(members)}, task="text_classification")
    assert report.state == "ready"
    assert count(report, "text_file_ignored") == 3
    assert count(report, "texts_without_class") == 3
    assert report.classes == ["neg", "pos"]
    assert texts_of(tmp_path, report) == {*GOOD, *BAD}


def test_text_files_may_have_other_encodings(tmp_path):
    members = [(name, f"{data.decode()} {TRADITIONAL}\r\n".encode("big5")) for name, data in folders()]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert report.state == "ready"
    assert count(report, "encoding_guessed") == 40
    assert texts_of(tmp_path, report) == {f"{text} {TRADITIONAL}" for text in GOOD + BAD}


def test_an_empty_text_file_is_reported(tmp_path):
    report = upload(tmp_path, {"a.zip": make_zip([*folders(), ("pos/99.txt", b" \n")])})
    assert sample(report, "text_missing")["file"] == "a.zip/pos/99.txt"


def test_an_archive_without_texts_is_rejected(tmp_path):
    packed = make_zip([(f"{name}.md", data) for name, data in folders(ending="")])
    report = upload(tmp_path, {"a.zip": packed}, format="text_folders")
    assert report.state == "rejected"
    assert sample(report, "archive_without_texts") == {"file": "a.zip", "found": "a.zip/neg/0_1.md"}
