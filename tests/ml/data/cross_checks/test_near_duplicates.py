"""Near duplicates across splits and within them, as an import reports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.data.cross_checks._near_duplicates import select_rows
from ml.data.cross_checks.near_duplicate_texts import NearDuplicateTexts
from ml.data.dataset import Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.files.audio import encode_wav
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
    assert issue["expected"] == "a different text"

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


def test_held_out_rows_are_compared_if_there_are_too_many() -> None:
    splits = np.array([0] * 1000 + [1] * 20 + [2] * 20 + [-2] * 5, dtype=np.int8)
    rows = select_rows(splits, 100)
    assert len(rows) == 100
    assert set(range(1000, 1040)) < set(rows.tolist())
    assert rows[-1] < 1040
    assert len(select_rows(splits, 2000)) == 1040
    assert len(select_rows(np.array([0] * 10 + [2] * 200, dtype=np.int8), 100)) == 100


def test_more_rows_than_the_limit_are_compared_in_part_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NearDuplicateTexts, "max_rows", 30)
    report = upload(tmp_path, reviews(sentences(60)[:40], sentences(60)[40:]), task="text_classification")
    assert sample(report, "near_duplicates_partly_compared")["found"] == "30 of 60 rows"


def import_orders(folder: Path, texts: list[str], label_of: Callable[[int], str]) -> set[str]:
    lines = [f"{text},{label_of(row)}" for row, text in enumerate(texts)]
    report = upload(folder, {"a.csv": "\n".join(["text,label", *lines, ""]).encode()}, task="text_classification")
    return all_codes(report) & {"near_duplicates_across_splits", "near_duplicate_rows", "texts_from_templates"}


def test_texts_that_fill_one_template_are_no_near_duplicates(tmp_path: Path) -> None:
    own = sentences(100)
    orders = [f"please tell me where my order with the number {row} is right now" for row in range(40)]
    # First a few of them with other labels, then half of all texts.
    assert not import_orders(tmp_path / "labels", [*own, *orders[:6]], lambda row: str(row))
    assert import_orders(tmp_path / "made", [*own[:40], *orders], lambda row: "ab"[row % 2]) == {"texts_from_templates"}
    # A few with one label, and copies with another case, are near duplicates.
    assert import_orders(tmp_path / "few", [*own, *orders[:6]], lambda row: "ab"[row < 50])
    copies = [text.upper() for text in orders[:30]]
    assert "near_duplicate_rows" in import_orders(tmp_path / "copies", [*orders, *copies], lambda row: "ab"[row % 2])


def test_a_clip_at_another_volume_and_with_silence_is_reported(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def make_clip() -> np.ndarray:
        """Make a second of bursts of noise and tones, unlike any other."""
        envelope = np.repeat(generator.random(10) ** 2, 800)
        tone = np.sin(np.arange(8000) * np.repeat(generator.random(10) * 2, 800))
        return (envelope * (tone + 0.3 * generator.normal(size=8000)) / 3).astype(np.float32)

    clips = [make_clip() for _ in range(40)]
    members = [(f"train/{'ab'[row % 2]}/{row}.wav", clip) for row, clip in enumerate(clips[:30])]
    members += [(f"test/{'ab'[row % 2]}/{row}.wav", clip) for row, clip in enumerate(clips[30:])]
    quiet = np.concatenate([np.zeros(1000, np.float32), clips[4] * 0.4, np.zeros(500, np.float32)])
    members.append(("test/a/copy.wav", quiet))
    archive = make_zip([(name, encode_wav(Audio(clip, 8000))) for name, clip in members])
    report = upload(tmp_path, {"clips.zip": archive}, task="audio_classification")
    assert report.state == "ready", report.errors
    [flag] = read_flagged_rows(tmp_path / "dataset", "near_duplicates_across_splits")
    assert flag.file == "clips.zip/test/a/copy.wav"
    assert flag.twin is not None
    assert "near_duplicate_rows" not in all_codes(report)
