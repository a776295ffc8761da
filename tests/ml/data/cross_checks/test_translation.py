"""Checks between two columns of texts: issues with rows, and none for good data."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ml.data.report import ImportReport
from tests.support.ml.dataset_files import codes, count, sample, upload
from tests.support.repository import SHARED_DATA

PEOPLE = [("man", "Mann"), ("dog", "Hund"), ("boy", "Junge"), ("friend", "Freund"), ("cook", "Koch")]
PLACES = [
    ("the street", "der Straße"),
    ("the beach", "dem Strand"),
    ("a bench", "einer Bank"),
    ("a roof", "einem Dach"),
]
ACTIONS = [("is sitting", "sitzt"), ("is sleeping", "schläft"), ("is waiting", "wartet")]
PAIRS = [
    (
        f"The old {person[0]} {action[0]} on {place[0]} and looks at the sky.",
        f"Der alte {person[1]} {action[1]} auf {place[1]} und sieht den Himmel an.",
    )
    for person, place, action in product(PEOPLE, PLACES, ACTIONS)
]
FOUND = {"text_untranslated", "text_lengths_differ", "sides_swapped", "languages_swapped"}
SHARED = SHARED_DATA / "multi30k-en-de"


def import_pairs(folder: Path, pairs: list[tuple[str, str]], **options: Any) -> ImportReport:
    lines = [json.dumps({"source": source, "target": target}, ensure_ascii=False) for source, target in pairs]
    return upload(folder, {"pairs.jsonl": "\n".join(lines).encode()}, **options)


def with_pair(row: int, pair: tuple[str, str]) -> list[tuple[str, str]]:
    return [*PAIRS[: row - 1], pair, *PAIRS[row:]]


def test_a_good_translation_has_no_issue(tmp_path: Path) -> None:
    assert not codes(import_pairs(tmp_path, PAIRS)) & FOUND


def test_swapped_sides_are_reported_with_their_rows(tmp_path: Path) -> None:
    pairs = with_pair(31, PAIRS[30][::-1])
    report = import_pairs(tmp_path, with_pair(31, PAIRS[30][::-1]))
    assert report.state == "ready", "a warning, for its owner to judge"
    assert codes(report) & FOUND == {"sides_swapped"}
    assert count(report, "sides_swapped") == 1
    issue = sample(report, "sides_swapped")
    assert (issue["file"], issue["row"], issue["column"], issue["found"]) == ("pairs.jsonl", 31, "text", pairs[30][0])


def test_a_file_with_swapped_sides_among_others_is_reported(tmp_path: Path) -> None:
    english, german = (("\n".join(side) + "\n").encode() for side in zip(*PAIRS, strict=True))
    test = ["\n".join(side).encode() for side in zip(*PAIRS[:9], strict=True)]
    files = {"train.en": english, "train.de": german, "test.en": test[1], "test.de": test[0]}
    report = upload(tmp_path, files, columns={"text": "en"})
    assert count(report, "sides_swapped") == 9
    assert {
        entry["file"] for entry in next(issue for issue in report.errors if issue.code == "sides_swapped").sample
    } == {"test.en"}


@pytest.mark.parametrize(
    ("files", "columns"),
    [
        ({"a.en": 1, "a.de": 0}, {"text": "en"}),
        ({"a.source.en-GB": 1, "a.source.de": 0}, {"target": "de"}),
    ],
)
def test_columns_named_by_each_others_language_are_reported(
    tmp_path: Path, files: dict[str, int], columns: dict[str, str]
) -> None:
    sides = ["\n".join(side).encode() for side in zip(*PAIRS, strict=True)]
    report = upload(tmp_path, {name: sides[side] for name, side in files.items()}, columns=columns)
    issue = sample(report, "languages_swapped")
    assert "de" in issue["found"]
    assert issue["expected"] == "the other way round"
    right = upload(tmp_path / "right", {name: sides[1 - side] for name, side in files.items()}, columns=columns)
    assert "languages_swapped" not in codes(right)


def test_swapped_chinese_is_reported(tmp_path: Path) -> None:
    chinese = [
        "老人坐在街上看着天空",
        "一只狗在沙滩上睡觉",
        "男孩在长椅上等他的朋友",
        "厨师在屋顶上做饭",
        "他们在看那只狗",
    ]
    pairs = [(english, chinese[row % 5] + chinese[(row + 1) % 5]) for row, (english, _) in enumerate(PAIRS)]
    pairs[7] = pairs[7][::-1]
    report = import_pairs(tmp_path, pairs)
    assert sample(report, "sides_swapped")["row"] == 8
    assert count(report, "sides_swapped") == 1


def test_an_untranslated_row_is_reported_but_not_a_name(tmp_path: Path) -> None:
    pairs = with_pair(5, (PAIRS[4][0], PAIRS[4][0].upper()))
    pairs[9] = ("OK 2000", "OK 2000")
    report = import_pairs(tmp_path, pairs)
    assert count(report, "text_untranslated") == 1
    issue = sample(report, "text_untranslated")
    assert (issue["row"], issue["column"], issue["found"]) == (5, "target", PAIRS[4][0])


def test_an_unusual_length_is_reported_with_the_usual_ratio(tmp_path: Path) -> None:
    report = import_pairs(tmp_path, with_pair(12, (PAIRS[11][0], " ".join(german for _, german in PAIRS[:8]))))
    assert count(report, "text_lengths_differ") == 1
    issue = sample(report, "text_lengths_differ")
    assert (issue["row"], issue["expected"]) == (12, "about 1.1 characters for one, as in the other rows")


def test_summaries_of_any_length_have_no_issue(tmp_path: Path) -> None:
    articles = [" ".join(english for english, _ in PAIRS[: 1 + row * row % 40]) for row in range(60)]
    report = import_pairs(tmp_path, [(article, PAIRS[row][0][:40]) for row, article in enumerate(articles)])
    assert not codes(report) & FOUND


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not on this machine")
def test_swapped_rows_of_real_captions_are_reported_and_no_others(tmp_path: Path) -> None:
    import gzip

    sides = [gzip.decompress((SHARED / f"val.{side}.gz").read_bytes()).decode().splitlines() for side in ("en", "de")]
    pairs = list(zip(*sides, strict=True))
    swapped = range(0, len(pairs), 100)
    for row in swapped:
        pairs[row] = pairs[row][::-1]
    report = import_pairs(tmp_path, pairs)
    assert count(report, "sides_swapped") == len(swapped), "every one, and no other"
    assert codes(report) & FOUND == {"sides_swapped"}
