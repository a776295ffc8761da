"""A few bad rows are left out and listed; more reject the upload."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ml.dataset_files import class_folders, make_images, make_labels, make_zip, upload


def table_of(rows: int, *, bad: int) -> dict[str, bytes]:
    """Return labeled texts; the first `bad` rows have too many cells."""
    lines = [f"text number {row} is unlike the others,{'yes' if row % 2 else 'no'}" for row in range(rows)]
    lines[:bad] = ["one,two,three,four"] * bad
    return {"reviews.csv": "\n".join(["text,label", *lines, ""]).encode()}


def test_one_bad_row_of_two_hundred_is_left_out_and_listed(tmp_path: Path) -> None:
    report = upload(tmp_path, table_of(200, bad=1), task="text_classification")
    assert (report.state, report.rejected, report.accepted, report.rows) == ("ready", 1, 199, 200)
    [entry] = [entry for entry in report.errors if entry.code == "ragged_row"]
    assert (entry.severity, entry.sample[0]["row"]) == ("repair", 1)


@pytest.mark.parametrize(
    ("bad", "max_bad_rows", "state"), [(3, 0.01, "rejected"), (3, 0.02, "ready"), (1, 0.0, "rejected")]
)
def test_the_limit_is_a_fraction_of_all_rows(tmp_path: Path, bad: int, max_bad_rows: float, state: str) -> None:
    report = upload(tmp_path, table_of(200, bad=bad), task="text_classification", max_bad_rows=max_bad_rows)
    assert report.state == state


def test_one_truncated_image_among_240_is_left_out(tmp_path: Path) -> None:
    images, labels = make_images(240), make_labels(240)
    files = class_folders(images, labels)
    name, content = files[5]
    files[5] = (name, content[: len(content) // 2])
    report = upload(tmp_path, {"images.zip": make_zip(files)})
    assert (report.state, report.accepted, report.rejected) == ("ready", 239, 1)
    assert any(name in str(entry.sample) for entry in report.errors)


def test_an_error_of_the_whole_upload_rejects_it_beside_a_bad_row(tmp_path: Path) -> None:
    table = table_of(200, bad=1)
    table["reviews.csv"] = table["reviews.csv"].replace(b",no", b",yes")
    assert upload(tmp_path, table, task="text_classification").state == "rejected"
