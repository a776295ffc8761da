"""First rows of tables in import reports."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data import first_rows
from ml.data.first_rows import FirstRows
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS

ROWS = [{"id": number, "body": f"a text, number {number}", "team": "ab"[number % 2]} for number in range(12)]


def write(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    else:
        lines = ["id;body;team", *(";".join(map(str, row.values())) for row in ROWS)]
        path.write_text("\n".join(lines))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_report_has_the_beginning_of_a_table(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"tickets{suffix}"
    write(file)
    report = import_dataset([file], tmp_path / "dataset", tasks=TASKS)
    assert report.first_rows is not None
    assert (report.first_rows.file, report.first_rows.columns) == (file.name, ["id", "body", "team"])
    assert len(report.first_rows.rows) == first_rows.MAX_ROWS
    assert report.first_rows.rows[1][1:] == ["a text, number 1", "b"]


def test_a_table_that_is_rejected_shows_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    rows = [f"{n / 7:.2f},{n / 3:.2f},{n * n / 11:.3f}" for n in range(30)]
    file.write_text("\n".join(["length,width,height", *rows]))
    report = import_dataset([file], tmp_path / "dataset", tasks=TASKS)
    assert report.state == "rejected"
    assert report.first_rows is not None
    assert report.first_rows.columns == ["length", "width", "height"]
    named = import_dataset(
        [file], tmp_path / "named", task="tabular_regression", tasks=TASKS, columns={"value": "height"}
    )
    assert (named.state, named.first_rows) == ("ready", report.first_rows)


def test_a_log_of_interactions_shows_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    lines = [f"u{n % 5},i{n % 7},{1_600_000_000 + n}" for n in range(60)]
    file.write_text("\n".join(["user,item,timestamp", *lines]))
    report = import_dataset([file], tmp_path / "dataset", tasks=TASKS)
    assert report.first_rows == FirstRows(
        file="ratings.csv", columns=["user", "item", "timestamp"], rows=[line.split(",") for line in lines[:5]]
    )


def test_images_have_no_table(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one text\n\nanother text\n")
    assert import_dataset([tmp_path / "notes.txt"], tmp_path / "dataset", tasks=TASKS).first_rows is None


def test_long_cells_many_columns_and_strange_values_are_cut_to_a_size() -> None:
    names = [str(number) for number in range(80)]
    table = FirstRows.of("wide.csv", names, [["x" * 5000, None, b"\0", 1.5, *names[4:]]])
    assert len(table.columns) == len(table.rows[0]) == first_rows.MAX_COLUMNS
    assert max(map(len, table.rows[0])) == first_rows.MAX_CELL_CHARACTERS
    assert table.rows[0][1] == ""
    assert table.rows[0][3] == "1.5"
