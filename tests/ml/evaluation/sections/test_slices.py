"""Slices of rows by length, value and class, on outputs made by hand."""

from typing import Any

import numpy as np

from ml.data.dataset import DatasetSummary
from ml.data.rows import Rows
from ml.evaluation.evaluated_rows import EvaluatedRows
from ml.evaluation.sections.slices import MAX_SLICES, SlicesSection
from ml.tasks import TASKS

ROWS = 400


def evaluate_rows(
    columns: dict[str, str],
    values: dict[str, list[Any]],
    is_right: np.ndarray,
    *,
    unread_cells: dict[str, list[str | None]] | None = None,
) -> list[dict[str, Any]]:
    """Slice rows of two classes; `is_right` bool [N] says where the model is right."""
    task = TASKS["image_classification"](
        TASKS["image_classification"].config_type(), encoders={}, state={"labels": ["no", "yes"]}
    )
    label = np.arange(ROWS) % 2
    predicted = np.where(is_right, label, 1 - label)
    encoded, outputs = {"label": label}, {"logits": 4.0 * np.eye(2, dtype=np.float32)[predicted]}
    summary = DatasetSummary(format="csv", columns=columns, splits={"test": ROWS})
    evaluated = EvaluatedRows(
        task=task,
        run=lambda graph, batch: batch,
        summary=summary,
        rows=Rows(values),
        unread_cells=unread_cells or {},
        columns=encoded,
        outputs=outputs,
        evaluation=task.evaluate(outputs, encoded, train=None),
        predict=lambda rows: task.evaluate(outputs, encoded, train=None),
    )
    sections = SlicesSection().measure(evaluated)
    assert sections is not None
    return sections


def test_long_texts_that_go_wrong_are_the_worst_slice() -> None:
    lengths = np.arange(ROWS) % 100 + 1
    is_right = lengths <= 75

    slices = evaluate_rows({"text": "text"}, {"text": ["x" * length for length in lengths]}, is_right)

    worst = slices[0]
    assert (worst["column"], worst["measure"], worst["metric_value"]) == ("text", "characters", 0.0)
    assert worst["value"].endswith("to 100")
    assert worst["is_worse"]
    assert not slices[-1]["is_worse"]
    assert sum(part["rows"] for part in slices) == ROWS


def test_any_column_of_a_table_is_sliced_and_missing_values_have_a_slice() -> None:
    row_numbers = np.arange(ROWS)
    records = [
        {"site": f"s{number % 4}", "weight": None if number % 10 == 0 else float(number), "constant": 1.0}
        for number in row_numbers.tolist()
    ]

    slices = evaluate_rows({"features": "record"}, {"features": records}, row_numbers % 4 != 3)

    by_name = {(part["column"], part["value"]): part for part in slices}
    assert by_name["site", "s3"]["metric_value"] == 0
    assert by_name["site", "s0"]["metric_value"] == 1
    assert by_name["weight", "missing"]["rows"] == ROWS // 10
    assert {column for column, _ in by_name} == {"site", "weight"}


def test_columns_that_nothing_is_learned_from_are_sliced() -> None:
    row_numbers = np.arange(ROWS)
    cells = {
        "source": ["shop" if number % 4 == 3 else None if number % 4 == 2 else "letter" for number in row_numbers],
        "year": [str(1900 + number) for number in row_numbers],
    }

    texts = {"text": ["x"] * ROWS}
    slices = evaluate_rows({"text": "text"}, texts, row_numbers % 4 != 3, unread_cells=cells)

    by_name = {(part["column"], part["value"]): part for part in slices}
    assert by_name["source", "shop"]["metric_value"] == 0
    assert by_name["source", "missing"]["rows"] == ROWS // 4
    assert len([column for column, _ in by_name if column == "year"]) == 4, "quarters of the numbers"


def test_rare_values_have_no_slice_and_the_number_of_slices_is_limited() -> None:
    names = [f"n{number % 30}" for number in range(ROWS - 2)] + ["rare", "rare"]
    records = [{"name": name} for name in names]

    slices = evaluate_rows({"features": "record"}, {"features": records}, np.ones(ROWS, dtype=bool))

    assert len(slices) == MAX_SLICES
    assert "rare" not in {part["value"] for part in slices}
