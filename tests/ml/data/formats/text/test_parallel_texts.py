"""Texts in two languages, in every form people keep them: aligned files, TMX, TSV, JSON lines and Parquet."""

import bz2
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.support.ml.dataset_files import codes, make_parquet, sample, upload
from tests.support.repository import SHARED_DATA

PAIRS = [(f"A man number {number}.", f"Ein Mann Nummer {number}.") for number in range(12)]
ENGLISH, GERMAN = (("\n".join(side) + "\n").encode() for side in zip(*PAIRS, strict=True))
ALL = {"train": 1.0}
SHARED = SHARED_DATA / "multi30k-en-de"


def pairs(folder: Path, split: str = "train") -> list[tuple[str, str]]:
    columns = Dataset.open(folder / "dataset").rows(split).columns
    return list(zip(columns["text"], columns["target"], strict=True))


def tmx(units: str, *, header: str = 'srclang="en"', before: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return f'{before}\n<tmx version="1.4"><header {header}/>\n<body>\n{units}\n</body></tmx>\n'.encode()


def unit(**said: str) -> str:
    inner = "".join(f'<tuv xml:lang="{side.replace("_", "-")}"><seg>{text}</seg></tuv>' for side, text in said.items())
    return f"<tu>{inner}</tu>"


TMX = tmx("\n".join(unit(en=english, de=german) for english, german in PAIRS))


@pytest.mark.parametrize(
    "files",
    [
        {"text.en": ENGLISH, "text.de": GERMAN},
        {"text.en.gz": gzip.compress(ENGLISH), "text.de.bz2": bz2.compress(GERMAN)},
        {"text.en.txt": ENGLISH, "text.de.txt": GERMAN},
        {"text-en.txt": ENGLISH.replace(b"\n", b"\r\n"), "text-de.txt": GERMAN},
        {"en": ENGLISH, "de.txt": GERMAN},
        {"data.source": ENGLISH, "data.target": GERMAN},
        {"text.tsv": ("source\ttarget\n" + "\n".join("\t".join(pair) for pair in PAIRS)).encode()},
        {"text.csv": ("text,target\n" + "\n".join(",".join(pair) for pair in PAIRS)).encode()},
        {"text.jsonl": "\n".join(json.dumps({"translation": {"en": a, "de": b}}) for a, b in PAIRS).encode()},
        {"text.parquet": make_parquet({"translation": pa.array([{"en": a, "de": b} for a, b in PAIRS])})},
        {"text.jsonl": "\n".join(json.dumps({"source": a, "target": b}) for a, b in PAIRS).encode()},
        {"memory.tmx": TMX},
        {"memory.tmx.gz": gzip.compress(TMX)},
    ],
    ids=lambda files: "+".join(files),
)
def test_the_same_pairs_come_out_of_every_form(tmp_path: Path, files: dict[str, bytes]) -> None:
    asked = {"columns": {"text": "en"}} if "de" in "".join(files).replace("data", "") and len(files) == 2 else {}
    report = upload(tmp_path, files, splits=ALL, **asked)
    assert (report.state, codes(report) - {"tiny_dataset"}) == ("ready", set()), report.errors
    assert pairs(tmp_path) == PAIRS
    assert set(Dataset.open(tmp_path / "dataset").summary.columns) == {"text", "target"}


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_two_columns_without_names_are_a_translation_where_one_was_asked_for(tmp_path: Path, delimiter: str) -> None:
    table = "\n".join(delimiter.join(pair) for pair in PAIRS).encode()
    report = upload(tmp_path, {"text.tsv": table}, task="translation", splits=ALL)
    assert report.state == "ready", report.errors
    assert pairs(tmp_path)[-1] == PAIRS[-1]
    assert len(pairs(tmp_path)) == 12


def test_without_a_word_it_goes_from_the_first_name_to_the_other_and_says_so(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN}, splits=ALL)
    assert report.guess is not None
    assert report.guess.columns == {"text": "de", "target": "en"}
    assert pairs(tmp_path) == [(german, english) for english, german in PAIRS]


def test_splits_come_from_the_names(tmp_path: Path) -> None:
    files = {}
    for split, rows in {"train": slice(0, 8), "val": slice(8, 10), "test_2016_flickr": slice(10, 12)}.items():
        english, german = zip(*PAIRS[rows], strict=True)
        files |= {f"{split}.en.gz": gzip.compress("\n".join(english).encode())}
        files |= {f"{split}.de.gz": gzip.compress("\n".join(german).encode())}
    upload(tmp_path, files, columns={"target": "de"})
    assert [len(pairs(tmp_path, split)) for split in ("train", "validation", "test")] == [8, 2, 2]
    assert pairs(tmp_path, "validation") == PAIRS[8:10]


def test_line_counts_that_differ_are_told_with_both(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN + b"Zu viel.\n"}, columns={"text": "en"})
    assert report.state == "rejected"
    found = sample(report, "line_counts_differ")
    assert (found["file"], found["found"]) == ("text.de", "12 in text.en and 13 in text.de")


def test_many_more_lines_are_counted_to_the_end(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH * 900, "text.de": GERMAN}, columns={"text": "en"})
    assert sample(report, "line_counts_differ")["found"] == "10,800 in text.en and 12 in text.de"


def test_a_file_without_its_partner_is_named(tmp_path: Path) -> None:
    report = upload(tmp_path, {"train.en": ENGLISH, "train.de": GERMAN, "test.en": ENGLISH}, columns={"text": "en"})
    assert sample(report, "text_unpaired")["file"] == "test.en"


def test_a_language_that_is_not_there_is_refused(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN}, columns={"text": "fr"})
    assert sample(report, "invalid_columns")["found"] == "fr"


def test_files_that_only_end_alike_are_no_pair(tmp_path: Path) -> None:
    table = ("text,label\n" + "".join(f"good {row},{row % 2}\n" for row in range(20))).encode()
    report = upload(tmp_path, {"train.csv": table, "test.csv": table.replace(b"good", b"bad")})
    assert report.guess is not None
    assert report.guess.format == "csv"


def test_an_empty_side_leaves_its_row_out_and_says_where(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.en": ENGLISH, "a.de": GERMAN.replace(b"Ein Mann Nummer 3.", b"")}, splits=ALL)
    assert report.state == "ready"
    assert sample(report, "text_missing")["line"] == 4
    assert len(pairs(tmp_path)) == 11


def test_chinese_in_its_own_encoding_comes_out_whole(tmp_path: Path) -> None:
    chinese = [f"第{number}个男人。" for number in range(12)]
    files = {"a.en": ENGLISH, "a.zh": ("\n".join(chinese) + "\n").encode("gb18030")}
    report = upload(tmp_path, files, columns={"target": "zh"}, splits=ALL)
    assert sample(report, "encoding_guessed")["found"] == "gb18030"
    assert [target for _, target in pairs(tmp_path)] == chinese


# Translation memories.


def test_a_memory_is_read_from_its_source_language_whatever_stands_first(tmp_path: Path) -> None:
    units = "\n".join(unit(de_DE=german, en_GB=english, fr="Un homme.") for english, german in PAIRS)
    upload(tmp_path, {"a.tmx": tmx(units)}, columns={"target": "de"}, splits=ALL)
    assert pairs(tmp_path) == PAIRS


def test_markup_of_the_document_is_no_text_but_emphasis_is(tmp_path: Path) -> None:
    seg = 'Press <bpt i="1">&lt;b&gt;</bpt><hi>Start</hi><ept i="1">&lt;/b&gt;</ept> &amp; wait.'
    units = "\n".join([unit(en=seg, de="Drücken &#8222;Start&#8220;."), *(unit(en=a, de=b) for a, b in PAIRS)])
    upload(tmp_path, {"a.tmx": tmx(units)}, splits=ALL)
    assert pairs(tmp_path)[0] == ("Press Start & wait.", "Drücken „Start“.")


def test_a_unit_with_one_language_is_left_out_and_counted(tmp_path: Path) -> None:
    units = "\n".join([unit(en="Alone."), *(unit(en=a, de=b) for a, b in PAIRS)])
    report = upload(tmp_path, {"a.tmx": tmx(units)}, splits=ALL)
    found = sample(report, "tmx_unit_incomplete")
    assert (report.state, found["line"], found["row"], found["found"]) == ("ready", 4, 1, "en")
    assert pairs(tmp_path) == PAIRS


LAUGHS = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
OUTSIDE = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'


@pytest.mark.parametrize("before", [LAUGHS, FILE])
def test_no_entity_of_its_own_is_expanded(tmp_path: Path, before: str) -> None:
    report = upload(tmp_path, {"a.tmx": tmx(unit(en="&a;", de="&a;"), before=before)})
    assert report.state == "rejected"
    assert sample(report, "xml_entity") == {"file": "a.tmx", "line": 1, "found": "a"}


def test_a_document_type_elsewhere_is_not_looked_at(tmp_path: Path) -> None:
    units = "\n".join(unit(en=english, de=german) for english, german in PAIRS)
    report = upload(tmp_path, {"a.tmx": tmx(units, before=OUTSIDE)}, splits=ALL)
    assert report.state == "ready"
    report = upload(tmp_path / "more", {"a.tmx": tmx(unit(en="&outside;", de="x"), before=OUTSIDE)})
    assert sample(report, "xml_entity")["found"] == "outside"


def test_what_is_not_well_formed_is_told_with_its_line(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.tmx": TMX.replace(b"</seg>", b"</sag>", 1)})
    assert (sample(report, "xml_invalid")["file"], sample(report, "xml_invalid")["line"]) == ("a.tmx", 4)


def test_a_tower_of_elements_and_an_endless_text_are_refused(tmp_path: Path) -> None:
    tower = tmx("<tu>" * 500)
    assert codes(upload(tmp_path / "tower", {"a.tmx": tower})) >= {"xml_too_deep"}
    endless = tmx(unit(en="x" * 5000, de="y"))
    report = upload(tmp_path / "endless", {"a.tmx": endless}, limits=Limits(max_text_characters=1000))
    assert sample(report, "text_too_long") == {"file": "a.tmx", "line": 4, "expected": "at most 1,000 characters"}


def test_one_language_is_no_translation(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.tmx": tmx("\n".join(unit(en=english) for english, _ in PAIRS))})
    assert sample(report, "tmx_languages")["found"] == "en"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not on this machine")
def test_thirty_thousand_captions(tmp_path: Path) -> None:
    names = [f"{split}.{side}.gz" for split in ("train", "val", "test_2016_flickr") for side in ("en", "de")]
    files = {name: (SHARED / name).read_bytes() for name in names}
    report = upload(tmp_path, files, columns={"text": "en"})
    assert report.state == "ready", report.errors
    assert pairs(tmp_path, "test")[0] == (
        "A man in an orange hat starring at something.",
        "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
    )
    assert (report.splits["validation"], report.splits["test"]) == (1014, 1000)
