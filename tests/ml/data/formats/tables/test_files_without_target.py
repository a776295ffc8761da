"""Test files without the target, as competitions bring them beside train.csv."""

import json

import pytest

from tests.support.ml.dataset_files import (
    codes,
    make_csv,
    make_images,
    make_labels,
    make_parquet,
    make_zip,
    sample,
    upload,
)

ROWS = 60


def make_rows(count=ROWS):
    return [
        {"Id": row, "area": row * 7 % 90 + 0.5, "rooms": row % 5, "street": ("Pave", "Grvl")[row % 2]}
        for row in range(count)
    ]


def as_csv(rows):
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows), ""]).encode()


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows):
    return make_parquet({name: [row[name] for row in rows] for name in rows[0]})


@pytest.mark.parametrize(("suffix", "write"), [("csv", as_csv), ("jsonl", as_jsonl), ("parquet", as_parquet)])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("task", [None, "tabular_regression"])
def test_a_test_file_without_the_target_is_left_out_and_reported(tmp_path, suffix, write, is_packed, task):
    train = [{**row, "SalePrice": row["area"] * 1.5} for row in make_rows()]
    files = {
        f"train.{suffix}": write(train),
        f"test.{suffix}": write(make_rows(40)),
        f"sample_submission.{suffix}": write([{"Id": row, "SalePrice": 1.5} for row in range(40)]),
        "data_description.txt": b"MSSubClass: what is sold\n\n  20  a house\n",
    }
    report = upload(tmp_path, {"prices.zip": make_zip(files.items())} if is_packed else files, task=task)

    assert (report.state, report.guess.task, report.rows) == ("ready", "tabular_regression", ROWS)
    assert report.splits == {"train": 48, "validation": 6, "test": 6}
    assert codes(report) >= {"file_without_target", "list_not_learned", "file_beside_data"}
    at = f"prices.zip/test.{suffix}" if is_packed else f"test.{suffix}"
    assert sample(report, "file_without_target") == {"file": at, "found": "no column SalePrice"}


def test_digits_without_labels_are_left_out(tmp_path):
    images = make_images(60)
    files = {"train.csv": make_csv(images[:40], make_labels(40)), "test.csv": make_csv(images[40:], None)}
    report = upload(tmp_path, files)

    assert (report.state, report.rows, codes(report)) == ("ready", 40, {"file_without_target"})


def test_labels_without_texts_are_left_out_and_texts_alone_are_all_read(tmp_path):
    texts = [{"id": row, "comment": f"this was really {row}", "toxic": row % 2} for row in range(60)]
    files = {
        "train.csv": as_csv(texts[:40]),
        "test.csv": as_csv([{"id": row["id"], "comment": row["comment"]} for row in texts[40:]]),
        "test_labels.csv": as_csv([{"id": row["id"], "toxic": -1} for row in texts[40:]]),
    }
    report = upload(tmp_path / "labels", files)
    assert (report.state, report.guess.task, report.rows) == ("ready", "text_classification", 40)
    assert next(entry for entry in report.errors if entry.code == "file_without_target").count == 2
    del files["test_labels.csv"]
    assert upload(tmp_path / "texts", files, task="text_generation").rows == 60


def test_files_with_the_same_columns_are_read_alike(tmp_path):
    # The first rows of the second file alone would say that its target is a class.
    rows = [{"area": row * 7 % 90 + 0.5, "price": row * 13 % 59 if row < 60 else row % 2} for row in range(100)]
    report = upload(
        tmp_path, {"test.csv": as_csv(rows[60:]), "train.csv": as_csv(rows[:60])}, columns={"value": "price"}
    )

    assert (report.state, report.splits["test"]) == ("ready", 40)


def test_a_split_whose_label_cells_are_all_empty_is_left_out(tmp_path):
    rows = [{"text": f"this was really {row}", "label": "ab"[row % 2] if row < 40 else ""} for row in range(60)]
    report = upload(tmp_path, {"train.csv": as_csv(rows[:40]), "test.csv": as_csv(rows[40:])})

    assert (report.state, report.accepted, codes(report)) == ("ready", 40, {"split_without_labels"})
    assert sample(report, "split_without_labels")["file"] == "test.csv"
