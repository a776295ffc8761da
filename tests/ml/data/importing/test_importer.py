import os
from typing import ClassVar

import numpy as np
import pytest

from ml.data.dataset import Dataset, DatasetSummary
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from tests.support.ml.dataset_files import (
    class_folders,
    codes,
    count,
    make_csv,
    make_idx_pair,
    make_images,
    make_labels,
    make_zip,
    sample,
    upload,
)

IMAGES, NAMES = make_images(100), make_labels(100)
CSV = make_csv(IMAGES, NAMES)


def test_issues_of_all_files_are_reported_at_once(tmp_path):
    files = {
        "broken.csv": CSV.replace(b"\n0,", b"\n0,x", 1),
        "ragged.csv": CSV + b"1,2,3\n",
        "nothing.csv": b"",
        "strange.csv": CSV.replace(b"\n1,", b"\n\xe9,", 1),
    }
    report = upload(tmp_path, files)
    assert report.state == "rejected"
    assert {"pixel_not_a_number", "ragged_row", "empty_file", "encoding_guessed"} <= codes(report)

    assert all(entry.hint for entry in report.errors)


def test_errors_come_before_warnings_and_repairs(tmp_path):
    report = upload(
        tmp_path,
        {"a.csv": make_csv(IMAGES, [f"{name}.0" for name in NAMES]) + b"1,2\n" + CSV.splitlines()[1]},
        max_bad_rows=0.0,
    )
    order = [entry.severity for entry in report.errors]
    assert order == sorted(order, key=["error", "warning", "repair"].index)
    assert len(set(order)) == 3


def test_the_task_may_reject_the_dataset(tmp_path):
    class ThreeClasses:
        columns: ClassVar[dict[str, str]] = {"image": "image"}
        optional_columns: ClassVar[dict[str, str]] = {}
        separates_subjects = True

        @staticmethod
        def check_dataset(summary: DatasetSummary) -> list[str]:
            return [f"needs three classes, not {len(summary.classes or [])}"]

    report = upload(tmp_path, {"a.csv": CSV}, task="three_classes", tasks={"three_classes": ThreeClasses})
    assert sample(report, "unfit_for_task") == {"found": "needs three classes, not 2"}
    assert not (tmp_path / "dataset").exists()


def test_the_task_is_detected_unless_it_is_named(tmp_path):
    guesses = {}
    for name, options in (("a", {}), ("b", {"task": "image_generation"})):
        report = upload(tmp_path / name, {"a.csv": CSV}, **options)
        assert report.summary is not None
        assert report.guess is not None
        guesses[name] = (report.summary.task, report.guess.task)
    assert guesses == {"a": ("image_classification",) * 2, "b": ("image_generation",) * 2}


def test_a_detected_task_exists_and_accepts_the_dataset(tmp_path):
    for name, classes in (("a", 2), ("b", 1)):
        report = upload(tmp_path / name, {"a.csv": make_csv(IMAGES, make_labels(100, classes=classes))})
        assert report.summary is not None
        assert report.summary.task in TASKS
        assert TASKS[report.summary.task].check_dataset(report.summary) == []


def test_files_may_be_assigned_to_splits(tmp_path):
    files = {"one.csv": CSV, "two.csv": make_csv(make_images(30, seed=5), make_labels(30))}
    report = upload(tmp_path, files, splits={"one.csv": "train", "tw*.csv": "val"})
    assert report.splits["validation"] == 30
    assert report.splits["test"] == 10


def test_fractions_split_all_rows_again(tmp_path):
    files = {"train.csv": CSV, "test.csv": make_csv(make_images(100, seed=5), make_labels(100))}
    report = upload(tmp_path, files, splits={"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 3})
    assert report.splits == {"train": 100, "validation": 50, "test": 50}
    assert report.summary is not None
    assert all(
        set(counts.values()) == {25} or set(counts.values()) == {50} for counts in report.summary.class_counts.values()
    )


def test_the_seed_decides_which_rows_are_held_out(tmp_path):
    digests = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        report = upload(tmp_path / name, {"a.csv": CSV}, splits={"train": 0.8, "test": 0.2, "seed": seed})
        assert report.summary is not None
        digests[name] = report.summary.digest
    assert digests["a"] == digests["b"] != digests["c"]


def test_copies_are_held_out_together(tmp_path):
    twice = np.concatenate([IMAGES, IMAGES])
    report = upload(tmp_path, {"a.csv": make_csv(twice, NAMES * 2)})
    assert "duplicate_across_splits" not in codes(report)
    assert count(report, "duplicate_rows") == 100
    assert report.splits == {"train": 160, "validation": 20, "test": 20}
    dataset = Dataset.open(tmp_path / "dataset")
    seen = [{image.tobytes() for image in dataset.rows(split).columns["image"]} for split in report.splits]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 100


def test_rows_that_are_also_in_test_are_removed_from_train(tmp_path):
    test = np.concatenate([make_images(30, seed=5), IMAGES[:12]])
    report = upload(tmp_path, {"train.csv": CSV, "test.csv": make_csv(test, make_labels(42))})
    assert report.state == "ready"
    assert count(report, "duplicate_across_splits") == report.repaired == 12
    assert len(next(entry.sample for entry in report.errors if entry.code == "duplicate_across_splits")) == 10
    assert report.splits["test"] == 42
    assert report.splits["train"] + report.splits["validation"] == 88
    assert (report.rows, report.accepted) == (142, 130)
    dataset = Dataset.open(tmp_path / "dataset")
    train_images = {
        image.tobytes() for split in ("train", "validation") for image in dataset.rows(split).columns["image"]
    }
    assert not train_images & {image.tobytes() for image in test}


def test_one_image_with_two_labels_is_reported_with_both_locations(tmp_path):
    twice = np.concatenate([IMAGES, IMAGES[:1]])
    report = upload(tmp_path, {"a.csv": make_csv(twice, [*NAMES, "1"])})
    locations = next(entry.sample for entry in report.errors if entry.code == "conflicting_labels")
    assert [(location["row"], location["found"]) for location in locations] == [(1, "0"), (101, "1")]


def test_images_of_one_size_beyond_the_limit_stay_encoded(tmp_path):
    from ml.data.limits import Limits

    report = upload(tmp_path, {"a.csv": CSV}, limits=Limits(max_raw_bytes=1000), splits={"train": 1})
    assert report.state == "ready"
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert not hasattr(rows.columns["image"], "array")
    assert np.array_equal(rows[7]["image"], IMAGES[7])


def test_a_folder_with_files_is_never_replaced(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine").write_text("keep")
    with pytest.raises(OSError, match="not empty"):
        upload(tmp_path, {"a.csv": CSV})
    assert {path.name for path in tmp_path.iterdir()} == {"incoming", "dataset"}
    assert (tmp_path / "dataset" / "mine").read_text() == "keep"


def test_a_report_survives_json(tmp_path):
    report = upload(tmp_path, {"a.csv": CSV})
    assert type(report).model_validate(report.to_json()) == report


def test_the_digest_does_not_depend_on_times_and_file_names(tmp_path):
    digests = set()
    for name, moment in (("a", 0), ("b", 1_000_000_000)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.zip").write_bytes(make_zip(class_folders(IMAGES, NAMES)))
        os.utime(folder / f"{name}.zip", (moment, moment))
        report = import_dataset([folder / f"{name}.zip"], folder / "dataset", tasks=TASKS)
        assert report.summary is not None
        digests.add(report.summary.digest)
    assert len(digests) == 1


def test_a_dataset_is_written_with_the_same_bytes_again(tmp_path):
    stored = []
    for name in ("a", "b"):
        upload(tmp_path / name, make_idx_pair(IMAGES, NAMES))
        stored.append({path.name: path.read_bytes() for path in (tmp_path / name / "dataset").iterdir()})
    assert stored[0] == stored[1]


def test_the_rows_read_so_far_are_reported_batch_by_batch(tmp_path):
    counts = []
    lines = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(30_000))
    upload(tmp_path, {"a.csv": ("text,label\n" + lines).encode()}, on_rows=counts.append)
    assert len(counts) > 1
    assert counts == sorted(counts)
    assert counts[-1] == 30_000


@pytest.mark.parametrize("content", [b"just a text, and another", bytes(range(256)) * 40])
def test_a_file_named_zip_that_is_none_is_refused_without_reading_it(tmp_path, content):
    report = upload(tmp_path, {"noise.zip": content})
    assert (report.state, codes(report)) == ("rejected", {"not_a_zip"})
