"""Rows that are appended to a stored version, whose rows stay in their splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.data.dataset import SPLITS, Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.earlier_version import EarlierVersion
from ml.data.derivation.operations import parse_operations
from ml.data.files.audio import encode_wav
from ml.data.formats.base import Batch
from ml.data.importing.importer import import_dataset
from ml.data.issues import DataRejected
from ml.data.locations import Locations
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.support.ml.dataset_files import codes, count, make_zip, sample, upload

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


def texts(name: str, rows: int) -> list[str]:
    """Texts that share few words."""
    generator = np.random.default_rng(len(name))
    return [f"{name}{row} " + " ".join(generator.choice(WORDS, 6)) for row in range(rows)]


def as_csv(lines: list[str], *, classes: tuple[str, ...] = ("bad", "good"), columns: str = "text,label") -> bytes:
    rows = [f"{text},{classes[row % len(classes)]}" for row, text in enumerate(lines)]
    return "\n".join([columns, *rows, ""]).encode()


def append(folder: Path, files: dict[str, bytes], *, to: Path, **options: Any) -> ImportReport:
    return upload(folder, files, earlier=EarlierVersion.open(to / "dataset", "reviews@1"), **options)


def contents(folder: Path, column: str = "text") -> dict[str, list[Any]]:
    dataset = Dataset.open(folder / "dataset")
    return {split: list(dataset.rows(split).columns[column]) for split in SPLITS}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    report = upload(tmp_path / "first", {"a.csv": as_csv(texts("a", 100))}, task="text_classification")
    assert (report.state, report.splits) == ("ready", {"train": 80, "validation": 10, "test": 10})
    return tmp_path / "first"


def test_earlier_rows_stay_first_in_their_splits_and_new_ones_are_held_out_alike(tmp_path: Path, first: Path) -> None:
    report = append(tmp_path / "next", {"b.csv": as_csv(texts("b", 1000))}, to=first)
    assert report.state == "ready", report.errors
    before, after = contents(first), contents(tmp_path / "next")
    assert all(after[split][: len(before[split])] == before[split] for split in SPLITS)
    # Each new row is drawn with a probability of 0.1: five standard deviations are 47 rows.
    assert all(abs(len(after[split]) - len(before[split]) - 100) < 47 for split in SPLITS[1:])
    assert report.suggestions[0].message == "100 rows stay in their splits, and 1,000 rows are new."


def test_a_row_has_the_same_split_in_whichever_part_it_comes(tmp_path: Path, first: Path) -> None:
    new = texts("b", 120)
    append(tmp_path / "whole", {"b.csv": as_csv(new)}, to=first)
    append(tmp_path / "half", {"b.csv": as_csv(new[:60])}, to=first)
    whole, half = contents(tmp_path / "whole"), contents(tmp_path / "half")
    assert all(set(half[split]) <= set(whole[split]) for split in SPLITS)


def test_splits_that_the_data_names_hold_and_nothing_else_is_added_to_them(tmp_path: Path) -> None:
    files = {"train.csv": as_csv(texts("a", 60)), "dev.csv": as_csv(texts("d", 20)), "test.csv": as_csv(texts("t", 20))}
    upload(tmp_path / "first", files, task="text_classification")
    report = append(tmp_path / "next", {"more.csv": as_csv(texts("more", 60))}, to=tmp_path / "first")
    assert report.splits == {"train": 120, "validation": 20, "test": 20}
    report = append(tmp_path / "test", {"test-2.csv": as_csv(texts("more", 60))}, to=tmp_path / "first")
    assert report.splits == {"train": 60, "validation": 20, "test": 80}


def test_requested_fractions_are_those_of_the_new_rows(tmp_path: Path, first: Path) -> None:
    report = append(tmp_path / "next", {"b.csv": as_csv(texts("b", 40))}, to=first, splits={"train": 0.5, "test": 0.5})
    assert report.splits == {"train": 100, "validation": 10, "test": 30}


def test_copies_of_earlier_rows_are_findings_and_never_leave_their_split(tmp_path: Path, first: Path) -> None:
    report = append(tmp_path / "next", {"a.csv": as_csv(texts("a", 100))}, to=first)
    assert (report.state, report.splits) == ("ready", {"train": 160, "validation": 20, "test": 20})
    assert count(report, "duplicate_rows") == 100
    assert "reviews@1" in sample(report, "duplicate_rows")["found"]
    assert "duplicate_across_splits" not in codes(report)


def test_rows_about_one_subject_stay_in_one_split_over_all_versions(tmp_path: Path) -> None:
    def visits(name: str, per_patient: int) -> bytes:
        lines = texts(name, 30 * per_patient)
        rows = [f"{text},{('ill', 'well')[row % 2]},p{row % 30}" for row, text in enumerate(lines)]
        return "\n".join(["text,label,patient_id", *rows, ""]).encode()

    upload(tmp_path / "first", {"a.csv": visits("a", 3)}, task="text_classification")
    report = append(tmp_path / "second", {"b.csv": visits("b", 3)}, to=tmp_path / "first")
    assert report.splits == {
        split: 2 * rows for split, rows in Dataset.open(tmp_path / "first/dataset").summary.splits.items()
    }
    report = append(tmp_path / "third", {"c.csv": visits("c", 3)}, to=tmp_path / "second")
    assert "subjects_in_several_splits" not in codes(report)


def test_a_new_subject_with_a_new_class_stays_in_one_split(tmp_path: Path) -> None:
    def visits(name: str, patients: range, classes: tuple[str, ...]) -> bytes:
        generator, rows = np.random.default_rng(0), [patient for patient in patients for _ in range(6)]
        lines = [
            f"{text},{classes[generator.integers(len(classes))]},p{patient}"
            for text, patient in zip(texts(name, len(rows)), rows, strict=True)
        ]
        return "\n".join(["text,label,patient_id", *lines, ""]).encode()

    first = {"a.csv": visits("a", range(30), ("ill", "well"))}
    upload(tmp_path / "first", first, task="text_classification")
    new = visits("b", range(20, 60), ("ill", "well", "dead"))
    report = append(tmp_path / "second", {"b.csv": new}, to=tmp_path / "first")
    assert (report.state, report.classes) == ("ready", ["dead", "ill", "well"])
    assert all(report.splits[split] % 6 == 0 for split in SPLITS)
    assert "subjects_in_several_splits" not in codes(report)


def as_conversations(name: str, count: int) -> bytes:
    """Conversations of four turns as JSON Lines."""
    turns = [
        [
            {"role": role, "content": f"{name} {number} {role} {turn}"}
            for turn in range(4)
            for role in ("user", "assistant")
        ]
        for number in range(count)
    ]
    return "".join(json.dumps({"messages": messages}) + "\n" for messages in turns).encode()


def test_the_turns_of_an_appended_conversation_stay_in_one_split(tmp_path: Path) -> None:
    upload(tmp_path / "first", {"a.jsonl": as_conversations("old", 60)}, task="text_generation")
    report = append(tmp_path / "next", {"b.jsonl": as_conversations("new", 80)}, to=tmp_path / "first")
    assert report.state == "ready", report.errors
    talks = {split: [text.split()[1] for text in new_texts(tmp_path / "next", split)] for split in SPLITS}
    assert sum(map(len, talks.values())) == 4 * 80
    assert talks["test"]
    assert not set(talks["train"]) & {*talks["validation"], *talks["test"]}
    assert not set(talks["validation"]) & set(talks["test"])


def new_texts(folder: Path, split: str) -> list[str]:
    return [text for text in contents(folder)[split] if text.startswith("new")]


def test_the_clips_of_an_appended_audio_file_stay_in_one_split(tmp_path: Path) -> None:
    upload(tmp_path / "first", speech("old", 20), task="speech_recognition")
    report = append(tmp_path / "next", speech("later", 40), to=tmp_path / "first")
    assert report.state == "ready", report.errors
    before, after = contents(tmp_path / "first"), contents(tmp_path / "next")
    files = {split: set(after[split][len(before[split]) :]) for split in SPLITS}
    assert sum(map(len, files.values())) == 40, "every file is in one split"


def test_later_clips_of_an_audio_file_join_the_earlier_ones_over_all_versions(tmp_path: Path) -> None:
    """The second and third part have one more clip of all files."""
    upload(tmp_path / "first", speech("rec", 30, clips=range(2)), task="speech_recognition")
    append(tmp_path / "second", speech("rec", 30, clips=range(2, 3), archive="b"), to=tmp_path / "first")
    operations = parse_operations([{"operation": "drop_rows", "rows": {"train": [0]}}])
    (tmp_path / "derived").mkdir()
    derive_dataset(tmp_path / "second/dataset", tmp_path / "derived/dataset", operations, name="a@2", tasks=TASKS)
    report = append(tmp_path / "last", speech("rec", 30, clips=range(3, 4), archive="c"), to=tmp_path / "derived")
    assert report.state == "ready", report.errors
    files = {split: set(texts) for split, texts in contents(tmp_path / "last").items()}
    assert sum(map(len, files.values())) == 30, "every file is in one split"
    assert all(files.values())


def speech(name: str, files: int, *, clips: range = range(4), archive: str = "") -> dict[str, bytes]:
    """Audio files of one second with clips of a quarter, as NeMo lists them."""
    generator, lines, members = np.random.default_rng(len(name)), [], []
    for number in range(files):
        samples = generator.uniform(-0.5, 0.5, 4_000).astype(np.float32)
        members.append((f"{name}{number}.wav", encode_wav(Audio(samples, 4_000))))
        lines += [
            {
                "audio_filepath": f"{name}{number}.wav",
                "offset": clip / 4,
                "duration": 0.25,
                "text": f"file {number}",
            }
            for clip in clips
        ]
    manifest = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return {f"{archive or name}.zip": make_zip([("manifest.json", manifest), *members])}


def test_classes_are_the_union_and_a_new_one_is_in_every_split(tmp_path: Path, first: Path) -> None:
    new = as_csv(texts("b", 40), classes=("good", "mixed"))
    report = append(tmp_path / "next", {"b.csv": new}, to=first)
    assert report.classes == ["bad", "good", "mixed"]
    assert report.summary is not None
    assert all(report.summary.class_counts[split]["mixed"] >= 1 for split in SPLITS)


def test_a_part_may_have_another_format_with_the_same_columns(tmp_path: Path, first: Path) -> None:
    lines = [json.dumps({"text": text, "label": "good"}) for text in texts("b", 10)]
    report = append(tmp_path / "next", {"b.jsonl": "\n".join(lines).encode()}, to=first)
    assert (report.state, report.rows) == ("ready", 110)
    assert report.guess is not None
    assert report.guess.format == "jsonl"


def test_rows_are_appended_to_what_operations_made(tmp_path: Path, first: Path) -> None:
    operations = parse_operations([{"operation": "merge_classes", "classes": ["bad"], "into": "awful"}])
    derived = tmp_path / "derived" / "dataset"
    derived.parent.mkdir()
    derive_dataset(first / "dataset", derived, operations, name="reviews@1", tasks=TASKS)
    report = append(tmp_path / "next", {"b.csv": as_csv(texts("b", 30), classes=("good",))}, to=tmp_path / "derived")
    assert (report.state, report.rows, report.classes) == ("ready", 130, ["awful", "good"])


def test_other_columns_are_rejected_with_the_part_and_the_column(tmp_path: Path, first: Path) -> None:
    report = append(tmp_path / "unlabeled", {"b.csv": b"text\nonly a text\nand another\n"}, to=first)
    assert report.state == "rejected"
    assert (sample(report, "no_columns")["file"], "label" in sample(report, "no_columns")["found"]) == ("b.csv", True)
    version = EarlierVersion.open(first / "dataset", "reviews@1")
    batch = Batch({"text": ["a"], "target": ["b"]}, Locations("c.csv", range(1, 2)), None)
    with pytest.raises(DataRejected) as error:
        list(version.check([batch], {"text": "text", "target": "text"}))
    assert (error.value.code, error.value.at and error.value.at.file) == ("columns_differ", "c.csv")
    assert error.value.actual == "text, target (without label, target besides)"


def test_the_bad_rows_of_a_part_are_counted_against_the_part(tmp_path: Path) -> None:
    upload(tmp_path / "first", {"a.csv": as_csv(texts("a", 1000))}, task="text_classification")
    part = as_csv(texts("b", 20)) + b"a text without a label,\nanother one,\n"
    report = append(tmp_path / "next", {"b.csv": part}, to=tmp_path / "first")
    assert (report.state, count(report, "missing_label")) == ("rejected", 2)


def test_a_part_without_rows_makes_no_version(tmp_path: Path, first: Path) -> None:
    report = append(tmp_path / "next", {"b.csv": b"text,label\n"}, to=first)
    assert report.state == "rejected"
    assert not (tmp_path / "next" / "dataset").exists()


def test_files_of_one_name_are_distinguished(tmp_path: Path) -> None:
    paths = []
    for folder, name in (("one", "a"), ("other", "b")):
        path = tmp_path / folder / "part.csv"
        path.parent.mkdir()
        path.write_bytes(as_csv(texts(name, 30)) + (b"ragged\n" if name == "b" else b""))
        paths.append(path)
    report = import_dataset(paths, tmp_path / "dataset", tasks=TASKS)
    assert report.rows == 61
    assert sample(report, "ragged_row")["file"] == "part (2).csv"


def test_the_history_of_a_user_in_two_parts_is_one_by_time(tmp_path: Path) -> None:
    def log(start: int, *, user: int) -> bytes:
        rows = [f"u{user},i{start + step},{1_600_000_000 + 60 * (start + step)}" for step in range(5)]
        return "\n".join(["user,item,timestamp", *rows, ""]).encode()

    # The later part comes first, and both bring a table of items.
    files = {
        "part-1.csv": log(5, user=0), "part-2.csv": log(0, user=0) + log(0, user=1)[20:],
        "items-1.csv": b"item,title\ni0,Heat\ni1,Alien\n", "items-2.csv": b"item,title\ni1,Aliens\ni9,Ran\n",
    }  # fmt: skip
    report = upload(tmp_path, files, task="recommendation")
    assert report.state == "ready", report.errors
    assert contents(tmp_path, "history")["test"][0] == [f"i{step}" for step in range(10)]
    table = Dataset.open(tmp_path / "dataset").item_table()
    assert table is not None
    assert dict(zip(table.ids, table.cells["title"], strict=True)) == {"i0": "Heat", "i1": "Aliens", "i9": "Ran"}
