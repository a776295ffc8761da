"""Tables whose rows have images, texts, audio clips and measurements."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml.audio.waveform import Audio
from ml.data.dataset import Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import FilterRows
from ml.data.files import audio
from ml.tasks import TASKS
from tests.support.ml import dataset_files

COUNT = 24
HEADER = "file_name,audio_file_name,text,weight,site,label"


def make_wav(seed: int) -> bytes:
    samples = np.random.default_rng(seed).normal(0, 0.1, 1600).astype(np.float32)
    return audio.encode_wav(Audio(samples, 8_000))


def make_files() -> list[tuple[str, bytes]]:
    images = [(f"images/{row:02}.png", dataset_files.make_png(row)) for row in range(COUNT)]
    return images + [(f"clips/{row:02}.wav", make_wav(row)) for row in range(COUNT)]


def make_row(row: int) -> list[str]:
    site = "north" if row % 3 else "south"
    label = "cat" if row % 2 else "dog"
    return [f"images/{row:02}.png", f"clips/{row:02}.wav", f"animal number {row}", f"{row * 0.5 + 1}", site, label]


def make_table(rows: Sequence[Sequence[str]] | None = None, header: str = HEADER) -> bytes:
    lines = [",".join(row) for row in (rows or [make_row(row) for row in range(COUNT)])]
    return "\n".join([header, *lines, ""]).encode()


def read(folder: Path, table: bytes, files: Sequence[tuple[str, bytes]] | None = None, **options: Any) -> Any:
    members = [("metadata.csv", table), *(make_files() if files is None else files)]
    options = {"task": "multimodal_classification", "tasks": TASKS, **options}
    return dataset_files.upload(folder, {"data.zip": dataset_files.make_zip(members)}, **options)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    data = Dataset.open(folder / "dataset")
    return [row for split in data.summary.splits for row in data.rows(split)]


def test_all_parts_of_a_row_are_read(tmp_path: Path) -> None:
    report = read(tmp_path, make_table())

    assert report.state == "ready", report.errors
    assert report.guess.format == "multimodal_table"
    assert report.guess.columns == {
        "image": "file_name", "audio": "audio_file_name", "text": "text", "label": "label",
        "features": "weight + site",
    }  # fmt: skip
    assert list(report.summary.columns) == ["image", "text", "audio", "features", "label"]
    row = next(row for row in rows_of(tmp_path) if row["text"] == "animal number 3")
    assert row["image"].shape == (6, 6, 1)
    assert row["audio"].rate_hz == 8_000
    assert row["features"] == {"weight": 2.5, "site": "south"}
    assert row["label"] == "cat"


def test_an_empty_cell_is_a_missing_part(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    for number, row in enumerate(rows):
        for column in range(5):
            if number % 5 == column:
                row[column] = ""
    report = read(tmp_path, make_table(rows))

    assert report.state == "ready", report.errors
    assert sum(report.splits.values()) == COUNT
    stored = {row["text"]: row for row in rows_of(tmp_path)}
    assert stored["animal number 5"]["image"] is None
    assert stored["animal number 6"]["audio"] is None
    assert stored["animal number 8"]["features"] == {"site": "north"}
    assert report.summary.facts["image"]["missing"] == 5
    assert report.summary.facts["features"]["missing"] == 0


def test_rows_are_copies_only_if_all_their_parts_are_equal(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    for row in rows:
        row[0] = ""
    rows[1][1:] = rows[3][1:]
    report = read(tmp_path, make_table(rows))

    assert report.state == "ready", report.errors
    copies = [entry for entry in report.errors if entry.code.startswith("duplicate")]
    assert sum(entry.count for entry in copies) == 1


def test_a_named_file_that_is_missing_is_reported_with_row_and_column(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    rows[4][1] = "clips/99.wav"
    report = read(tmp_path, make_table(rows))

    assert report.state == "rejected"
    (entry,) = [entry for entry in report.errors if entry.code == "file_missing"]
    assert entry.sample[0]["file"] == "data.zip/metadata.csv"
    assert entry.sample[0]["row"] == 5
    assert entry.sample[0]["column"] == "audio_file_name"
    assert entry.sample[0]["found"] == "clips/99.wav"


def test_a_damaged_file_is_reported_with_row_and_column(tmp_path: Path) -> None:
    files = [(name, b"\x89PNG\r\n\x1a\nnot" if name == "images/04.png" else data) for name, data in make_files()]
    report = read(tmp_path, make_table(), files)

    assert report.state == "rejected"
    sample = next(entry.sample[0] for entry in report.errors if entry.severity == "error")
    assert (sample["row"], sample["column"]) == (5, "file_name")


def test_a_row_without_any_part_is_left_out(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    rows[4][:5] = [""] * 5
    report = read(tmp_path, make_table(rows))

    assert report.state == "ready", report.errors
    assert sum(report.splits.values()) == COUNT - 1
    assert "record_empty" in dataset_files.codes(report)


def test_one_part_alone_does_not_fit_the_task(tmp_path: Path) -> None:
    rows = [[f"images/{row:02}.png", "cat" if row % 2 else "dog"] for row in range(COUNT)]
    report = read(tmp_path, make_table(rows, "file_name,label"), make_files()[:COUNT])

    assert report.state == "rejected"
    (entry,) = [entry for entry in report.errors if entry.code == "unfit_for_task"]
    assert "at least two of image, text, audio, features" in entry.sample[0]["found"]


def test_a_table_without_files_has_texts_and_measurements(tmp_path: Path) -> None:
    table = make_table([make_row(row)[2:] for row in range(COUNT)], "text,weight,site,label")
    report = dataset_files.upload(tmp_path, {"a.csv": table}, task="multimodal_classification", tasks=TASKS)

    assert report.state == "ready", report.errors
    assert list(report.summary.columns) == ["text", "features", "label"]


def test_images_and_clips_may_be_cells_of_parquet(tmp_path: Path) -> None:
    files = [data for _, data in make_files()]
    columns = {
        "photo": [None if row == 0 else {"bytes": files[row], "path": None} for row in range(COUNT)],
        "voice": files[COUNT:],
        "label": ["cat" if row % 2 else "dog" for row in range(COUNT)],
    }
    table = dataset_files.make_parquet(columns)
    report = dataset_files.upload(tmp_path, {"a.parquet": table}, task="multimodal_classification", tasks=TASKS)

    assert report.state == "ready", report.errors
    assert report.guess.columns == {"image": "photo", "audio": "voice", "label": "label"}
    assert sum(row["image"] is None for row in rows_of(tmp_path)) == 1


def test_columns_may_be_named(tmp_path: Path) -> None:
    columns = {"features": "weight", "text": "site", "label": 6}
    report = read(tmp_path, make_table(), columns=columns)

    assert report.state == "ready", report.errors
    row = next(row for row in rows_of(tmp_path) if row["features"] == {"weight": 2.5})
    assert row["text"] == "south"
    assert "fields_not_read" in dataset_files.codes(report)


def test_a_column_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    report = read(tmp_path, make_table(), columns={"text": "title"})

    assert report.state == "rejected"
    assert "column_missing" in dataset_files.codes(report)


def test_the_split_column_decides_on_the_split(tmp_path: Path) -> None:
    rows = [[*make_row(row), "test" if row % 6 == 0 else "train"] for row in range(COUNT)]
    report = read(tmp_path, make_table(rows, f"{HEADER},split"))

    assert report.splits["test"] == 4


def test_a_task_that_needs_every_row_refuses_missing_parts(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    rows[0][0] = ""
    report = read(tmp_path, make_table(rows))

    reasons = TASKS["image_classification"].check_dataset(report.summary)
    assert reasons == ["image_classification needs image in every row; 1 rows have none"]
    assert not TASKS["text_classification"].check_dataset(report.summary)


def test_missing_parts_survive_a_derived_version(tmp_path: Path) -> None:
    rows = [make_row(row) for row in range(COUNT)]
    rows[2][0] = rows[4][1] = ""
    read(tmp_path, make_table(rows))
    operation = FilterRows(without="number 23")
    report = derive_dataset(tmp_path / "dataset", tmp_path / "next", [operation], name="a@1", tasks=TASKS)

    assert report.summary is not None, report.errors
    assert report.summary.facts["image"]["missing"] == 1
    assert report.summary.facts["audio"]["missing"] == 1
