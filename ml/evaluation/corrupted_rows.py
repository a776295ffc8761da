"""Rows whose inputs are changed but not their meaning: blurred, noisy, misspelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.rows import Rows
from ml.evaluation.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.evaluation.corruptions.base import Corruption
    from ml.tasks.base import Task


def fitting_corruptions(task: Task | type[Task]) -> Iterator[tuple[Corruption, list[str]]]:
    """Yield the corruptions of the inputs of a task, with the columns that they change."""
    inputs = {task.encoded_columns[slot] for slot in task.slots if slot in task.encoded_columns}
    has_places = "objects" in task.columns.values()
    for corruption in (corruption_type() for corruption_type in CORRUPTIONS.values()):
        columns = [name for name in task.columns if name in inputs and task.columns[name] == corruption.column_type]
        if columns and (corruption.keeps_places or not has_places):
            yield corruption, columns


def corrupt_rows(rows: Rows, corruption: Corruption, columns: Sequence[str], amount: float) -> Rows:
    """Corrupt rows, each by a random state of its own.

    So all levels change a row alike.
    """
    corrupted: list[Mapping[str, Any]] = []
    for index in range(len(rows)):
        row = rows[index]
        for column in columns:
            row = corruption.corrupt_row(row, column, amount, np.random.default_rng([index, len(rows)]))
        corrupted.append(row)
    return Rows({name: [row[name] for row in corrupted] for name in rows.columns})
