"""Derivation of datasets by operations on rows."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml.data.dataset import SPLITS, Dataset
from ml.data.derivation.check import check_operations, check_order
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.feedback_rows import choose_split
from ml.data.derivation.operations import parse_operations
from ml.data.files.images import encode_png
from ml.data.flagged_rows import read_flagged_rows
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.support.ml import samples
from tests.support.ml.dataset_files import class_folders, codes, make_images, make_labels, make_zip, upload

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def texts(count: int) -> list[str]:
    """Texts that share no words in a row."""
    generator = np.random.default_rng(0)
    return [f"{row} " + " ".join(generator.choice(WORDS, 6)) for row in range(count)]


def reviews(folder: Path, rows: list[tuple[str, str]], **options: Any) -> ImportReport:
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
    return upload(folder, {"reviews.csv": table.encode()}, task="text_classification", **options)


def derive(folder: Path, *operations: dict[str, Any], others: dict[str, Path] | None = None) -> ImportReport:
    return derive_dataset(
        folder / "dataset",
        folder / "derived",
        parse_operations(list(operations)),
        name="reviews@1",
        others=others,
        tasks=TASKS,
    )


def contents(folder: Path) -> dict[str, list[tuple[Any, str]]]:
    dataset = Dataset.open(folder)
    return {
        split: [(row["text"], row["label"]) for row in dataset.rows(split)] for split in ("train", "validation", "test")
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    labels = ["good", "bad", "awful"]
    report = reviews(tmp_path, [(text, labels[row % 3]) for row, text in enumerate(texts(60))])
    assert report.state == "ready"
    return tmp_path


def test_no_operation_changes_no_row(source: Path) -> None:
    report = derive(source)
    assert report.state == "ready"
    assert contents(source / "derived") == contents(source / "dataset")
    assert Dataset.open(source / "derived").summary.digest == Dataset.open(source / "dataset").summary.digest


def test_rows_are_dropped_by_their_positions_in_the_source(source: Path) -> None:
    before = contents(source / "dataset")
    report = derive(
        source,
        {"operation": "filter", "without_classes": ["awful"]},
        {"operation": "drop_rows", "rows": {"train": [0, 5], "test": [1]}},
    )
    after = contents(source / "derived")
    expected = {
        "train": [row for index, row in enumerate(before["train"]) if index not in (0, 5) and row[1] != "awful"],
        "validation": [row for row in before["validation"] if row[1] != "awful"],
        "test": [row for index, row in enumerate(before["test"]) if index != 1 and row[1] != "awful"],
    }
    assert after == expected
    assert report.classes == ["bad", "good"]
    assert report.suggestions[0].message.startswith("filter dropped 20 of 60 rows")


def test_rows_get_another_class_also_a_new_one(source: Path) -> None:
    before = contents(source / "dataset")
    derive(source, {"operation": "relabel", "labels": {"train": {0: "neutral", 1: "neutral"}, "test": {0: "good"}}})
    after = contents(source / "derived")
    assert [label for _, label in after["train"][:2]] == ["neutral", "neutral"]
    assert after["train"][2:] == before["train"][2:]
    assert after["test"][0] == (before["test"][0][0], "good")


def test_classes_are_merged(source: Path) -> None:
    report = derive(source, {"operation": "merge_classes", "classes": ["bad", "awful"], "into": "negative"})
    assert report.classes == ["good", "negative"]
    labels = [label for rows in contents(source / "derived").values() for _, label in rows]
    assert labels.count("negative") == 40


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"contains": "alpha"}, lambda text: "alpha" in text),
        ({"without": "alpha"}, lambda text: "alpha" not in text),
        ({"min_characters": 30}, lambda text: len(text) >= 30),
        ({"max_characters": 34, "column": "text"}, lambda text: len(text) <= 34),
    ],
)
def test_texts_are_filtered(source: Path, condition: dict[str, Any], fits: Any) -> None:
    before = contents(source / "dataset")
    derive(source, {"operation": "filter", **condition})
    assert contents(source / "derived") == {
        split: [row for row in rows if fits(row[0])] for split, rows in before.items()
    }


def test_a_sample_has_the_same_fraction_of_every_class_and_repeats(source: Path) -> None:
    before = contents(source / "dataset")
    derive(source, {"operation": "sample", "fraction": 0.5, "splits": ["train"], "seed": 3})
    after = contents(source / "derived")
    assert (after["validation"], after["test"]) == (before["validation"], before["test"])
    for label in ("good", "bad", "awful"):
        counts = [sum(row[1] == label for row in rows) for rows in (before["train"], after["train"])]
        assert counts[1] == counts[0] / 2
    again = source / "again"
    operations = parse_operations([{"operation": "sample", "fraction": 0.5, "splits": ["train"], "seed": 3}])
    derive_dataset(source / "dataset", again, operations, name="reviews@1")
    assert contents(again) == after


def test_equal_rows_become_one_in_each_split(tmp_path: Path) -> None:
    rows = [(text, "yes" if number % 2 else "no") for number, text in enumerate(texts(30))]
    report = reviews(tmp_path, rows + rows[:6])
    assert "duplicate_rows" in codes(report)
    derived = derive(tmp_path, {"operation": "dedupe"})
    assert derived.accepted == 30
    assert "duplicate_rows" not in codes(derived)


def test_all_rows_of_a_finding_are_listed_and_dropped(tmp_path: Path) -> None:
    rows = [(text, "yes" if number % 2 else "no") for number, text in enumerate(texts(60))]
    report = reviews(tmp_path, rows + rows[:40])
    [entry] = [entry for entry in report.errors if entry.code == "duplicate_rows"]
    flags = read_flagged_rows(tmp_path / "dataset", "duplicate_rows")
    assert len(flags) == entry.count > len(entry.sample), "the report shows the first ones"
    dataset = Dataset.open(tmp_path / "dataset")
    assert dataset.summary.flagged_rows["duplicate_rows"] == entry.count
    for flag in flags:
        assert flag.twin is not None
        twin = dataset.rows(flag.twin.split)[flag.twin.index]
        assert dataset.rows(flag.split)[flag.index] == twin
    sample = entry.sample[0]
    assert (sample["split"], sample["index"]) == (flags[0].split, flags[0].index)
    derived = derive(tmp_path, {"operation": "drop_rows", "finding": "duplicate_rows"})
    assert derived.accepted == 60


def test_joined_rows_that_were_held_out_leave_train(source: Path) -> None:
    held_out = contents(source / "dataset")["test"]
    other = source / "other"
    added = [(text.replace("alpha", "omega") + " more", "good") for text in texts(20)]
    reviews(other, [*added, *held_out, *added[:0], ("a text of its own here", "new"), ("and yet another one", "new")])
    report = derive(
        source,
        {"operation": "join", "dataset": "other@1"},
        others={"other@1": other / "dataset"},
    )
    assert report.classes == ["awful", "bad", "good", "new"]
    assert "duplicate_across_splits" in codes(report)
    after = contents(source / "derived")
    assert not {text for text, _ in held_out} & {text for text, _ in after["train"]}


def test_images_stay_as_they_are_whatever_their_storage(tmp_path: Path) -> None:
    images, labels = make_images(40, side=6), make_labels(40)
    larger = make_images(20, side=9, seed=1)
    upload(tmp_path, {"images.zip": make_zip(class_folders(images, labels))}, task="image_classification")
    other = tmp_path / "other"
    upload(other, {"images.zip": make_zip(class_folders(larger, make_labels(20)))}, task="image_classification")
    report = derive(tmp_path, {"operation": "join", "dataset": "b@1"}, others={"b@1": other / "dataset"})
    assert report.accepted == 60
    derived = Dataset.open(tmp_path / "derived")
    stored = {
        image.tobytes() for split in ("train", "validation", "test") for image in derived.rows(split).columns["image"]
    }
    assert stored == {image.tobytes() for image in (*images, *larger)}
    derive_again = derive_dataset(
        tmp_path / "derived",
        tmp_path / "again",
        parse_operations([{"operation": "sample", "rows": 30}]),
        name="x@2",
        tasks=TASKS,
    )
    assert derive_again.accepted == 30


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_data_of_every_task_survives_a_derivation(tmp_path: Path, name: str) -> None:
    stored = samples.path(samples.columns_read_by(TASKS[name]))
    report = derive_dataset(
        stored, tmp_path / "derived", parse_operations([{"operation": "dedupe"}]), name="x@1", tasks=TASKS
    )
    assert report.state == "ready", report.errors
    before, after = Dataset.open(stored), Dataset.open(tmp_path / "derived")
    assert after.summary.columns == before.summary.columns
    assert after.summary.facts.keys() == before.summary.facts.keys()
    for split in ("train", "validation", "test"):
        last, derived_last = (dataset.rows(split)[-1] for dataset in (before, after))
        assert repr(derived_last) == repr(last)


def test_nothing_left_is_reported(source: Path) -> None:
    report = derive(source, {"operation": "filter", "contains": "no text has this"})
    assert report.state == "rejected"
    assert codes(report) >= {"empty_dataset"}
    assert not (source / "derived").exists()


def test_every_fault_of_operations_is_listed(source: Path) -> None:
    summary = Dataset.open(source / "dataset").summary
    operations = parse_operations(
        [
            {"operation": "drop_rows", "finding": "duplicate_rows"},
            {"operation": "drop_rows", "rows": {"train": [0, 999]}},
            {"operation": "merge_classes", "classes": ["goood"], "into": "x"},
            {"operation": "filter", "column": "titel", "min_characters": 3},
            {"operation": "merge_classes", "classes": ["x"], "into": "y"},
        ]
    )
    findings = check_operations(operations, summary, {})
    assert [finding.path for finding in findings] == [
        "operations.0.finding",
        "operations.1.rows.train",
        "operations.2.classes",
        "operations.3.column",
    ]
    assert findings[2].hint == "Did you mean 'good'?"
    assert "positions count from 0" in findings[1].message


def test_a_rejected_dataset_is_read_again_first() -> None:
    anew = parse_operations([{"operation": "leave_out_bad_rows"}, {"operation": "dedupe"}])
    assert not check_order(anew, is_rejected=True)
    assert check_order(anew, is_rejected=False)[0].code == "invalid_order"
    assert check_order(anew[1:], is_rejected=True)[0].expected == "leave_out_bad_rows"


def test_bad_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"{text},{'yes' if number % 2 else 'no'}" for number, text in enumerate(texts(30))]
    lines[3] = "one,two,three,four"
    lines[8] = ",yes"
    lines[9] = "a text without a label,"
    table = {"reviews.csv": "\n".join(["text,label", *lines, ""]).encode()}
    rejected = upload(tmp_path, table, task="text_classification")
    assert (rejected.state, rejected.rejected, rejected.rows) == ("rejected", 2, 29)
    report = upload(tmp_path, table, task="text_classification", leaves_out_bad_rows=True)
    assert (report.state, report.rejected, report.accepted, report.rows) == ("ready", 2, 27, 29)
    severities = {entry.code: entry.severity for entry in report.errors}
    assert {severities[code] for code in ("ragged_row", "missing_label")} == {"repair"}
    assert json.loads((tmp_path / "dataset" / "dataset.json").read_text())["classes"] == ["no", "yes"]


def test_an_error_of_the_whole_upload_still_rejects_it(tmp_path: Path) -> None:
    rows = [(text, "yes") for text in texts(30)]
    report = reviews(tmp_path, rows, leaves_out_bad_rows=True)
    assert report.state == "rejected"
    assert "one_class" in codes(report)


def test_feedback_is_added_behind_the_rows_of_its_split(source: Path) -> None:
    file = source / "feedback.jsonl"
    rows = [(f"new text number {row}", "good" if row % 2 else "bad", split) for row, split in enumerate(SPLITS * 4)]
    lines = [json.dumps({"input": {"text": text}, "label": label, "split": split}) for text, label, split in rows]
    file.write_text("\n".join(lines) + "\n")
    old = contents(source / "dataset")
    operations = parse_operations([{"operation": "sample", "rows": 10, "splits": ["train"]}])
    report = derive_dataset(
        source / "dataset", source / "derived", operations, name="reviews@1", feedback=file, tasks=TASKS
    )
    assert report.state == "ready", report.errors
    new = contents(source / "derived")
    for split in ("validation", "test"):
        assert new[split] == old[split] + [(text, label) for text, label, own in rows if own == split]
    assert len(new["train"]) == 14
    assert any("add_feedback added 12 rows" in suggestion.message for suggestion in report.suggestions)


@pytest.mark.parametrize("split", SPLITS)
def test_a_corrected_row_is_trained_on_by_its_later_label_alone(source: Path, split: str) -> None:
    old = contents(source / "dataset")
    text, label = old["train"][0]
    file = source / "feedback.jsonl"
    other = next(name for name in ("good", "bad") if name != label)
    # A form of the text that the dataset stores alike.
    file.write_text(json.dumps({"input": {"text": f" {text} "}, "label": other, "split": split}) + "\n")

    report = derive_dataset(source / "dataset", source / "derived", [], name="reviews@1", feedback=file, tasks=TASKS)

    new = contents(source / "derived")
    assert {name: len(rows) for name, rows in new.items()} == {
        name: len(rows) + (name == split) - (name == "train") for name, rows in old.items()
    }
    assert [own for rows in new.values() for words, own in rows if words == text] == [other]
    assert any("replaced 1 rows" in suggestion.message for suggestion in report.suggestions)


def test_a_corrected_image_replaces_its_row_whatever_its_file(tmp_path: Path) -> None:
    files = make_zip(class_folders(make_images(40), make_labels(40)))
    assert upload(tmp_path, {"a.zip": files}, task="image_classification").state == "ready"
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    image, other = rows[0]["image"], next(row["label"] for row in rows if row["label"] != rows[0]["label"])
    content = base64.b64encode(encode_png(image)).decode()
    file = tmp_path / "feedback.jsonl"
    file.write_text(json.dumps({"input": {"image": content}, "label": other, "split": "train"}) + "\n")

    derive_dataset(tmp_path / "dataset", tmp_path / "derived", [], name="a@1", feedback=file, tasks=TASKS)

    derived = Dataset.open(tmp_path / "derived").rows("train")
    assert len(derived) == len(rows)
    assert [row["label"] for row in derived if np.array_equal(row["image"], image)] == [other]


def test_a_correction_of_a_large_photo_replaces_its_row(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    photos = []
    for row in range(20):
        pixels = np.kron(generator.integers(0, 255, (11, 11, 3)), np.ones((100, 100, 1))).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=60)
        photos.append((f"{'ab'[row % 2]}/{row}.jpg", file.getvalue()))
    assert upload(tmp_path, {"a.zip": make_zip(photos)}, task="image_classification").state == "ready"
    before = len(Dataset.open(tmp_path / "dataset").rows("train"))
    lines = [
        {"input": {"image": base64.b64encode(data).decode()}, "label": "ba"[row % 2], "split": "train"}
        for row, (_, data) in enumerate(photos)
    ]
    file_of_feedback = tmp_path / "feedback.jsonl"
    file_of_feedback.write_text("".join(json.dumps(line) + "\n" for line in lines))

    report = derive_dataset(
        tmp_path / "dataset", tmp_path / "derived", [], name="a@1", feedback=file_of_feedback, tasks=TASKS
    )

    replaced = before + Dataset.open(tmp_path / "dataset").summary.splits["validation"]
    assert f"add_feedback replaced {replaced} rows whose inputs have feedback" in str(report.suggestions)


def test_a_row_of_feedback_stays_in_its_split() -> None:
    hashes = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(3000)]
    counts = Counter(choose_split(value) for value in hashes)
    # Five standard deviations of a binomial count.
    assert abs(counts["test"] - 1000) < 130
    assert abs(counts["validation"] - 500) < 105
    assert [choose_split(value) for value in hashes] == [choose_split(value) for value in hashes]
