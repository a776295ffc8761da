"""Near duplicates across splits and within them, as an import reports them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.data.cross_checks._near_duplicates import select_rows
from ml.data.cross_checks.near_duplicate_texts import NearDuplicateTexts
from ml.data.dataset import Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.flagged_rows import read_flagged_rows
from ml.tasks import TASKS
from tests.ml.data.similarity.test_image_hash import COPIES, encode, photo
from tests.ml.data.similarity.test_minhash import sentences
from tests.support.ml.dataset_files import all_codes, count, make_zip, sample, upload


def reviews(train: list[str], test: list[str]) -> dict[str, bytes]:
    files = {}
    for split, texts in (("train", train), ("test", test)):
        lines = [f"{text},{'yes' if row % 2 else 'no'}\n" for row, text in enumerate(texts)]
        files[f"{split}.csv"] = ("text,label\n" + "".join(lines)).encode()
    return files


def test_a_test_text_like_a_training_text_is_reported_and_dropped(tmp_path: Path) -> None:
    texts = sentences(60)
    twins = [f"{texts[row]}!" if row % 2 else f"Well {texts[row].upper()}" for row in range(10)]
    report = upload(tmp_path, reviews(texts[:40], texts[40:] + twins), task="text_classification")
    assert report.state == "ready", "it is a warning"
    dataset = Dataset.open(tmp_path / "dataset")
    flags = read_flagged_rows(tmp_path / "dataset", "near_duplicates_across_splits")
    held_out = [flag for flag in flags if flag.split == "test"]
    assert len(held_out) == 10
    for flag in held_out:
        assert flag.twin is not None
        text = dataset.rows("test")[flag.index]["text"]
        twin = dataset.rows(flag.twin.split)[flag.twin.index]["text"]
        assert twin in text.lower()
        assert (flag.file, flag.row) == ("test.csv", 21 + texts.index(twin))
    issue = sample(report, "near_duplicates_across_splits")
    assert (issue["file"], issue["column"], issue["split"]) == ("test.csv", "text", "test")
    assert "like train.csv, row 1 in" in issue["found"]

    operations = parse_operations([{"operation": "drop_rows", "finding": "near_duplicates_across_splits"}])
    derived = derive_dataset(tmp_path / "dataset", tmp_path / "derived", operations, name="x@1", tasks=TASKS)
    assert derived.splits["test"] == 20
    assert "near_duplicates_across_splits" not in all_codes(derived)


def test_texts_of_their_own_are_not_reported(tmp_path: Path) -> None:
    texts = sentences(200)
    report = upload(tmp_path, reviews(texts[:150], texts[150:]), task="text_classification")
    assert not all_codes(report) & {"near_duplicates_across_splits", "near_duplicate_rows"}


def test_equal_texts_are_reported_as_equal_alone(tmp_path: Path) -> None:
    texts = sentences(40)
    lines = [f"{text},{'yes' if row % 2 else 'no'}" for row, text in enumerate([*texts, *texts[:4], f"{texts[5]} ..."])]
    table = "\n".join(["text,label", *lines, ""]).encode()
    report = upload(tmp_path, {"reviews.csv": table}, task="text_classification")
    assert count(report, "duplicate_rows") == 4
    near = [code for code in all_codes(report) if code.startswith("near_duplicate")]
    assert sum(count(report, code) for code in near) == 1


def test_an_image_in_another_form_is_reported(tmp_path: Path) -> None:
    members = [(f"train/{'ab'[row % 2]}/{row}.png", encode(photo(row))) for row in range(30)]
    members += [(f"test/{'ab'[row % 2]}/{row}.png", encode(photo(row))) for row in range(30, 40)]
    members += [(f"test/a/copy-{name}.bin", make(photo(2 * row))) for row, (name, make) in enumerate(COPIES.items())]
    members = [(name.replace(".bin", ".png"), data) for name, data in members]
    report = upload(tmp_path, {"images.zip": make_zip(members)}, task="image_classification")
    assert report.state == "ready"
    flags = read_flagged_rows(tmp_path / "dataset", "near_duplicates_across_splits")
    copies = [flag for flag in flags if flag.split == "test"]
    assert {flag.file for flag in copies} == {f"images.zip/test/a/copy-{name}.png" for name in COPIES}
    assert "near_duplicate_rows" not in all_codes(report)


def test_of_too_many_rows_the_held_out_ones_are_compared() -> None:
    splits = np.array([0] * 1000 + [1] * 20 + [2] * 20 + [-2] * 5, dtype=np.int8)
    rows = select_rows(splits, 100)
    assert len(rows) == 100
    assert set(range(1000, 1040)) < set(rows.tolist())
    assert rows[-1] < 1040
    assert len(select_rows(splits, 2000)) == 1040
    assert len(select_rows(np.array([0] * 10 + [2] * 200, dtype=np.int8), 100)) == 100


def test_more_rows_than_the_limit_are_compared_in_part_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NearDuplicateTexts, "max_rows", 30)
    report = upload(tmp_path, reviews(sentences(60)[:40], sentences(60)[40:]), task="text_classification")
    assert sample(report, "near_duplicates_partly_compared")["found"] == "30 of 60 rows"
