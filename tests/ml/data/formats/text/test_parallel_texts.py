"""Parallel texts in all formats: aligned files, TMX, TSV, JSON lines and Parquet."""

import bz2
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.support.ml.dataset_files import codes, make_parquet, make_zip, sample, upload
from tests.support.repository import SHARED_DATA

PAIRS = [(f"A man number {number}.", f"Ein Mann Nummer {number}.") for number in range(12)]
ENGLISH, GERMAN = (("\n".join(side) + "\n").encode() for side in zip(*PAIRS, strict=True))
ALL = {"train": 1.0}
SHARED = SHARED_DATA / "multi30k-en-de"


def imported_pairs(folder: Path, split: str = "train") -> list[tuple[str, str]]:
    columns = Dataset.open(folder / "dataset").rows(split).columns
    return list(zip(columns["text"], columns["target"], strict=True))


def make_tmx(
    units: str, *, header: str = 'srclang="en"', before: str = '<?xml version="1.0" encoding="UTF-8"?>'
) -> bytes:
    return f'{before}\n<tmx version="1.4"><header {header}/>\n<body>\n{units}\n</body></tmx>\n'.encode()


def make_unit(**texts: str) -> str:
    inner = "".join(f'<tuv xml:lang="{side.replace("_", "-")}"><seg>{text}</seg></tuv>' for side, text in texts.items())
    return f"<tu>{inner}</tu>"


TMX = make_tmx("\n".join(make_unit(en=english, de=german) for english, german in PAIRS))


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
def test_all_formats_yield_the_same_pairs(tmp_path: Path, files: dict[str, bytes]) -> None:
    options = {"columns": {"text": "en"}} if "de" in "".join(files).replace("data", "") and len(files) == 2 else {}
    report = upload(tmp_path, files, splits=ALL, **options)
    assert (report.state, codes(report) - {"tiny_dataset"}) == ("ready", set()), report.errors
    assert imported_pairs(tmp_path) == PAIRS
    assert set(Dataset.open(tmp_path / "dataset").summary.columns) == {"text", "target"}


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_two_unnamed_columns_are_a_translation_if_the_task_is_one(tmp_path: Path, delimiter: str) -> None:
    table = "\n".join(delimiter.join(pair) for pair in PAIRS).encode()
    report = upload(tmp_path, {"text.tsv": table}, task="translation", splits=ALL)
    assert report.state == "ready", report.errors
    assert imported_pairs(tmp_path)[-1] == PAIRS[-1]
    assert len(imported_pairs(tmp_path)) == 12


def test_by_default_the_source_is_the_first_side_by_name_and_the_guess_names_it(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN}, splits=ALL)
    assert report.guess is not None
    assert report.guess.columns == {"text": "de", "target": "en"}
    assert imported_pairs(tmp_path) == [(german, english) for english, german in PAIRS]


def test_file_names_name_the_splits(tmp_path: Path) -> None:
    files = {}
    for split, rows in {"train": slice(0, 8), "val": slice(8, 10), "test_2016_flickr": slice(10, 12)}.items():
        english, german = zip(*PAIRS[rows], strict=True)
        files |= {f"{split}.en.gz": gzip.compress("\n".join(english).encode())}
        files |= {f"{split}.de.gz": gzip.compress("\n".join(german).encode())}
    upload(tmp_path, files, columns={"target": "de"})
    assert [len(imported_pairs(tmp_path, split)) for split in ("train", "validation", "test")] == [8, 2, 2]
    assert imported_pairs(tmp_path, "validation") == PAIRS[8:10]


def test_languages_in_folders_of_splits_are_pairs_also_in_an_archive(tmp_path: Path) -> None:
    members = [
        (f"corpus/{split}/{side}.txt", "".join(f"{side} line {row} of {split}\n" for row in range(rows)).encode())
        for split, rows in (("train", 30), ("dev", 8), ("test", 9))
        for side in ("en", "de")
    ]
    report = upload(tmp_path, {"a.zip": make_zip(members)})
    assert (report.guess and report.guess.task) == "translation"
    assert report.splits == {"train": 30, "validation": 8, "test": 9}


SHORT = (
    *(("Go.", "Geh."), ("Hi.", "Hallo!"), ("Hi.", "Gruß Gott!"), ("Run!", "Lauf!"), ("Run.", "Lauf!")),
    *(("Wow!", "Donnerwetter!"), ("Fire!", "Feuer!"), ("Help!", "Hilfe!"), ("Stop!", "Halt!"), ("Wait.", "Warte.")),
)


@pytest.mark.parametrize("credit", ["", "\tCC-BY 2.0 (France) Attribution: tatoeba.org #{row} (CM) & #{row} (ann)"])
def test_sentences_of_one_word_are_a_translation(tmp_path: Path, credit: str) -> None:
    pairs = [*SHORT, *((f"{en[:-1]} now.", f"{de[:-1]} jetzt.") for en, de in SHORT)]
    lines = [f"{en}\t{de}{credit.format(row=row)}\n" for row, (en, de) in enumerate(pairs)]
    report = upload(tmp_path, {"deu.txt": "".join(lines).encode()})
    assert (report.guess and report.guess.task, report.rows) == ("translation", len(pairs))


def test_links_of_lines_beside_a_pair_are_no_language(tmp_path: Path) -> None:
    texts = {side: "".join(f"{side} line {row}\n" for row in range(30)).encode() for side in ("de", "en")}
    files = {f"europarl.de-en.{side}.gz": gzip.compress(text) for side, text in texts.items()}
    report = upload(tmp_path, {**files, "europarl.de-en.alg": b"1 <=> 1\n"})
    assert (report.guess and report.guess.task, report.rows) == ("translation", 30)


def test_different_line_counts_are_reported_with_both_numbers(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN + b"Zu viel.\n"}, columns={"text": "en"})
    assert report.state == "rejected"
    issue = sample(report, "line_counts_differ")
    assert (issue["file"], issue["found"]) == ("text.de", "12 in text.en and 13 in text.de")


def test_many_more_lines_are_counted_to_the_end(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH * 900, "text.de": GERMAN}, columns={"text": "en"})
    assert sample(report, "line_counts_differ")["found"] == "10,800 in text.en and 12 in text.de"


def test_a_file_without_its_partner_is_reported(tmp_path: Path) -> None:
    report = upload(tmp_path, {"train.en": ENGLISH, "train.de": GERMAN, "test.en": ENGLISH}, columns={"text": "en"})
    assert sample(report, "text_unpaired")["file"] == "test.en"


def test_a_missing_language_is_rejected(tmp_path: Path) -> None:
    report = upload(tmp_path, {"text.en": ENGLISH, "text.de": GERMAN}, columns={"text": "fr"})
    assert sample(report, "invalid_columns")["found"] == "fr"


def test_files_with_only_a_common_suffix_are_no_pair(tmp_path: Path) -> None:
    table = ("text,label\n" + "".join(f"good {row},{row % 2}\n" for row in range(20))).encode()
    report = upload(tmp_path, {"train.csv": table, "test.csv": table.replace(b"good", b"bad")})
    assert report.guess is not None
    assert report.guess.format == "csv"


def test_a_row_with_an_empty_side_is_left_out_and_reported(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.en": ENGLISH, "a.de": GERMAN.replace(b"Ein Mann Nummer 3.", b"")}, splits=ALL)
    assert report.state == "ready"
    assert sample(report, "text_missing")["line"] == 4
    assert len(imported_pairs(tmp_path)) == 11


def test_chinese_in_gb18030_is_decoded(tmp_path: Path) -> None:
    chinese = [f"第{number}个男人。" for number in range(12)]
    files = {"a.en": ENGLISH, "a.zh": ("\n".join(chinese) + "\n").encode("gb18030")}
    report = upload(tmp_path, files, columns={"target": "zh"}, splits=ALL)
    assert sample(report, "encoding_guessed")["found"] == "gb18030"
    assert [target for _, target in imported_pairs(tmp_path)] == chinese


# Translation memories.


def test_the_source_language_of_the_header_is_the_source_in_any_order(tmp_path: Path) -> None:
    units = "\n".join(make_unit(de_DE=german, en_GB=english, fr="Un homme.") for english, german in PAIRS)
    upload(tmp_path, {"a.tmx": make_tmx(units)}, columns={"target": "de"}, splits=ALL)
    assert imported_pairs(tmp_path) == PAIRS


def test_document_markup_is_dropped_and_emphasized_text_stays(tmp_path: Path) -> None:
    seg = 'Press <bpt i="1">&lt;b&gt;</bpt><hi>Start</hi><ept i="1">&lt;/b&gt;</ept> &amp; wait.'
    units = "\n".join(
        [make_unit(en=seg, de="Drücken &#8222;Start&#8220;."), *(make_unit(en=a, de=b) for a, b in PAIRS)]
    )
    upload(tmp_path, {"a.tmx": make_tmx(units)}, splits=ALL)
    assert imported_pairs(tmp_path)[0] == ("Press Start & wait.", "Drücken „Start“.")


def test_a_unit_with_one_language_is_left_out_and_counted(tmp_path: Path) -> None:
    units = "\n".join([make_unit(en="Alone."), *(make_unit(en=a, de=b) for a, b in PAIRS)])
    report = upload(tmp_path, {"a.tmx": make_tmx(units)}, splits=ALL)
    issue = sample(report, "tmx_unit_incomplete")
    assert (report.state, issue["line"], issue["row"], issue["found"]) == ("ready", 4, 1, "en")
    assert imported_pairs(tmp_path) == PAIRS


LAUGHS = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
OUTSIDE = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'


@pytest.mark.parametrize("before", [LAUGHS, FILE])
def test_declared_entities_are_rejected(tmp_path: Path, before: str) -> None:
    report = upload(tmp_path, {"a.tmx": make_tmx(make_unit(en="&a;", de="&a;"), before=before)})
    assert report.state == "rejected"
    assert sample(report, "xml_entity") == {"file": "a.tmx", "line": 1, "found": "a"}


def test_an_external_document_type_is_not_loaded(tmp_path: Path) -> None:
    units = "\n".join(make_unit(en=english, de=german) for english, german in PAIRS)
    report = upload(tmp_path, {"a.tmx": make_tmx(units, before=OUTSIDE)}, splits=ALL)
    assert report.state == "ready"
    report = upload(tmp_path / "more", {"a.tmx": make_tmx(make_unit(en="&outside;", de="x"), before=OUTSIDE)})
    assert sample(report, "xml_entity")["found"] == "outside"


def test_malformed_xml_is_reported_with_its_line(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.tmx": TMX.replace(b"</seg>", b"</sag>", 1)})
    assert (sample(report, "xml_invalid")["file"], sample(report, "xml_invalid")["line"]) == ("a.tmx", 4)


def test_too_deep_elements_and_too_long_texts_are_rejected(tmp_path: Path) -> None:
    deep = make_tmx("<tu>" * 500)
    assert codes(upload(tmp_path / "deep", {"a.tmx": deep})) >= {"xml_too_deep"}
    long = make_tmx(make_unit(en="x" * 5000, de="y"))
    report = upload(tmp_path / "long", {"a.tmx": long}, limits=Limits(max_text_characters=1000))
    assert sample(report, "text_too_long") == {"file": "a.tmx", "line": 4, "expected": "at most 1,000 characters"}


def test_one_language_is_no_translation(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.tmx": make_tmx("\n".join(make_unit(en=english) for english, _ in PAIRS))})
    assert sample(report, "tmx_languages")["found"] == "en"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not on this machine")
def test_thirty_thousand_captions(tmp_path: Path) -> None:
    names = [f"{split}.{side}.gz" for split in ("train", "val", "test_2016_flickr") for side in ("en", "de")]
    files = {name: (SHARED / name).read_bytes() for name in names}
    report = upload(tmp_path, files, columns={"text": "en"})
    assert report.state == "ready", report.errors
    assert imported_pairs(tmp_path, "test")[0] == (
        "A man in an orange hat starring at something.",
        "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
    )
    assert (report.splits["validation"], report.splits["test"]) == (1014, 1000)
