"""Delimiter and quoting of tables, as the tools that write them mean them."""

import csv
import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.data.dataset import SPLITS, Dataset
from ml.data.tables.dialects import detect_dialect
from ml.data.tables.records import read_records
from tests.support.ml.dataset_files import codes, count, sample, upload

ROWS = 60
PLAIN = [(f"a plain sentence {row}", "pos" if row % 2 else "neg") for row in range(ROWS)]
TRAIN_ONLY = {"train": 1.0}


def write(
    rows: list[tuple[str, ...]], *, header: str = "text,label", delimiter: str = "\t", **options: object
) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", **options)  # type: ignore[arg-type]  # its own
    writer.writerows([header.split(","), *rows])
    return file.getvalue().encode()


def write_bare(rows: list[tuple[str, ...]], *, header: str = "text,label", delimiter: str = "\t") -> bytes:
    return "".join(f"{delimiter.join(row)}\n" for row in [tuple(header.split(",")), *rows]).encode()


def imported_texts(folder: Path) -> list[str]:
    dataset = Dataset.open(folder / "dataset")
    return [text for split in SPLITS if split in dataset.summary.splits for text in dataset.rows(split).columns["text"]]


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@pytest.mark.parametrize(
    "sentence",
    ['"Yes," he said.', '"Hello there', 'He said "no', 'The 5" nail', '"Yes."', '""', '"a""b', 'x"', '"'],
)
def test_quotes_of_a_corpus_are_characters(tmp_path: Path, delimiter: str, sentence: str) -> None:
    rows = [*PLAIN[:20], (sentence, "pos"), *PLAIN[20:], (f"{sentence} again", "neg")]
    report = upload(tmp_path, {"a.tsv": write_bare(rows, delimiter=delimiter)}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)
    assert report.rows == ROWS + 2


def test_a_column_in_quotes_with_a_delimiter_in_every_row_is_one_column() -> None:
    lines = [f'{row},"Game, {row}",play,0\n' for row in range(ROWS)]
    detected = detect_dialect(lambda: iter(lines))
    assert (detected.dialect.quoting, detected.evidence) == ("doubled", "clear")


def test_a_lone_quote_does_not_swallow_the_rows_below_up_to_the_next_quote(tmp_path: Path) -> None:
    rows = [*PLAIN[:20], ('"Hello', "pos"), *PLAIN[20:40], ('and left"', "pos"), *PLAIN[40:]]
    report = upload(tmp_path, {"a.tsv": write_bare(rows)}, splits=TRAIN_ONLY)
    assert (report.state, report.rows) == ("ready", ROWS + 2)
    assert {'"Hello', 'and left"'} <= set(imported_texts(tmp_path))
    assert "quoting: none (quotes are characters)" in report.reading
    assert report.guess is not None
    assert report.guess.quoting == {"a.tsv": "quoting: none (quotes are characters)"}


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_quoted_cells_are_read_without_the_quotes(tmp_path: Path, delimiter: str, quoting: int) -> None:
    special = [('"Yes," he said.', "pos"), (f"a{delimiter}b", "neg"), ("two\nlines", "pos"), ('the 5" nail', "neg")]
    rows = [*PLAIN[:20], *special, *PLAIN[20:]]
    report = upload(tmp_path, {"a.csv": write(rows, delimiter=delimiter, quoting=quoting)}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_backslashes_that_escape_quotes_within_quotes_are_left_out(tmp_path: Path, delimiter: str) -> None:
    rows = [*PLAIN, ('He said "no" to me', "pos"), (f'"a"{delimiter}b', "neg")]
    data = write(rows, delimiter=delimiter, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)
    report = upload(tmp_path, {"a.csv": data}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)
    assert "quoting: backslash" in report.reading


def test_backslashes_that_escape_without_quoting_are_left_out(tmp_path: Path) -> None:
    rows = [*PLAIN, ('He said "no" to me', "pos"), ("a\tb", "neg")]
    data = write(rows, quoting=csv.QUOTE_NONE, escapechar="\\")
    report = upload(tmp_path, {"a.tsv": data}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)
    assert "quoting: none_backslash" in report.reading


def test_backslashes_of_a_text_stay(tmp_path: Path) -> None:
    rows = [*PLAIN, ("the folder C:\\data\\new", "pos"), ('"quoted" C:\\x', "neg")]
    report = upload(tmp_path, {"a.tsv": write_bare(rows)}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)


@pytest.mark.parametrize("sentence", ['"Yes" he said', '"Hello there'])
def test_one_row_with_quotes_as_text_rejects_no_quoted_table(tmp_path: Path, sentence: str) -> None:
    rows = [(f"well, a sentence {row}", "pos" if row % 2 else "neg") for row in range(ROWS)]
    lines = write(rows, delimiter=",").decode().splitlines()
    lines[30] = f"{sentence},pos"
    report = upload(tmp_path, {"a.csv": "\n".join(lines).encode()}, splits=TRAIN_ONLY)
    assert (report.state, report.rows) == ("ready", ROWS)
    assert sentence in imported_texts(tmp_path)
    assert sample(report, "quotes_as_text") == {"file": "a.csv", "line": 31, "row": 30, "found": f"{sentence},pos"}
    assert upload(tmp_path / "strict", {"a.csv": "\n".join(lines).encode()}, quoting="doubled").state == "rejected"


def test_the_delimiter_is_the_one_that_fits_all_rows(tmp_path: Path) -> None:
    rows = [(f"one, two; three {row}", "pos" if row % 2 else "neg") for row in range(20)]
    rows += [(f"none of them {row}", "pos" if row % 2 else "neg") for row in range(20)]
    report = upload(tmp_path, {"a.tsv": write_bare(rows, delimiter="|")}, splits=TRAIN_ONLY)
    assert report.state == "ready", report.errors
    assert sorted(imported_texts(tmp_path)) == sorted(text for text, _ in rows)


def test_a_request_names_the_quoting(tmp_path: Path) -> None:
    data = write_bare([*PLAIN, ('"Yes"', "pos")], delimiter=",")
    assert upload(tmp_path / "as guessed", {"a.csv": data}, splits=TRAIN_ONLY).state == "ready"
    assert "Yes" in imported_texts(tmp_path / "as guessed")
    assert upload(tmp_path / "as named", {"a.csv": data}, splits=TRAIN_ONLY, quoting="none").state == "ready"
    assert '"Yes"' in imported_texts(tmp_path / "as named")


def test_a_guess_between_two_readings_of_all_rows_is_reported(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.tsv": write_bare([*PLAIN, ('"Yes"', "pos")])}, splits=TRAIN_ONLY)
    assert sample(report, "quoting_guessed")["found"] == "quoting: none (quotes are characters)"
    assert '"Yes"' in imported_texts(tmp_path)


def test_an_unknown_quoting_or_one_without_use_is_reported(tmp_path: Path) -> None:
    report = upload(tmp_path / "unknown", {"a.csv": write(PLAIN)}, quoting="single")
    assert codes(report) == {"invalid_quoting"}
    lines = b"".join(b'{"text": "words %d", "label": "%d"}\n' % (row, row % 2) for row in range(40))
    report = upload(tmp_path / "unused", {"a.jsonl": lines}, quoting="none")
    assert (report.state, count(report, "quoting_not_used")) == ("ready", 1)


def test_a_quote_outside_of_a_text_is_no_character(tmp_path: Path) -> None:
    rows = [*PLAIN, ("a sentence", '"pos')]
    report = upload(tmp_path, {"a.tsv": write_bare(rows)})
    assert (report.state, sample(report, "bad_quoting")["line"]) == ("rejected", ROWS + 2)


def test_memory_and_time_do_not_grow_with_the_file() -> None:
    """Many characters of rows that each open a quote that none closes."""

    def lines() -> Iterator[str]:
        return ('5" x\t"abc\n' for _ in range(30_000))

    tracemalloc.start()
    start = time.monotonic()
    dialect = detect_dialect(lines).dialect
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dialect.quoting == "none"
    assert sum(1 for _ in read_records(lines(), dialect)) == 30_000
    assert peak < 64 << 20
    assert time.monotonic() - start < 60
