"""Text regression: normalized targets, outputs in their unit, and tables of texts with a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from ml.tasks.regression.text_regression import TextRegression, TextRegressionConfig


@pytest.mark.parametrize(
    ("header", "value"),
    [("review,stars", "stars"), ("text,value", "value"), ("title_text,length", "length"), ("body,price", "price")],
)
def test_the_number_beside_a_text_is_the_target_by_its_name_or_as_the_only_one(
    tmp_path: Path, header: str, value: str
) -> None:
    table = tmp_path / "texts.csv"
    words = np.random.default_rng(0).choice(["fine", "poor", "good", "fair"], (40, 6))
    table.write_text("\n".join([header, *(f"{' '.join(row)},{index}.5" for index, row in enumerate(words))]))
    report = import_dataset([table], tmp_path / "dataset", task="text_regression", tasks=TASKS)
    assert report.accepted, report.errors
    assert report.guess is not None
    assert report.guess.columns["value"] == value
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert {float(number) % 1 for number in rows.columns["value"]} == {0.5}


def test_a_cell_that_is_no_number_is_reported_with_its_row(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("text,value\n" + "".join(f"a text of number {row},{row}\n" for row in range(30)) + "last,many\n")
    report = import_dataset([table], tmp_path / "dataset", task="text_regression", tasks=TASKS)
    (entry,) = [entry for entry in report.errors if entry.code == "value_not_a_number"]
    assert entry.sample[0]["row"] == 31


def test_outputs_are_in_the_unit_of_the_target() -> None:
    task = TextRegression(TextRegressionConfig(), {}, {"mean": 100.0, "deviation": 20.0})
    assert task.decode({"prediction": np.array([0.0, -1.5], dtype=np.float32)}) == [{"value": 100.0}, {"value": 70.0}]
    assert task.head_config() == {"loss": "mse", "dropout": 0.1}
