"""Robustness: the first metric on corrupted rows, and accuracy under attack by radius."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.rows import Rows
from ml.evaluation.corruptions import CORRUPTIONS
from ml.evaluation.corruptions.base import LEVELS
from ml.evaluation.sections.base import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.evaluation.corruptions.base import Corruption
    from ml.evaluation.evaluated_rows import EvaluatedRows
    from ml.metrics.base import Evaluation

#: Rows that are corrupted: enough for an interval of a few points, and each is predicted up to 18 times.
MAX_ROWS: Final = 300


class RobustnessSection(Section):
    """First metric on rows whose input has changed but not its meaning."""

    name = "robustness"
    summary = "The first metric on corrupted rows, at three levels, and accuracy under attack"

    def measure(self, evaluated: EvaluatedRows) -> dict[str, Any] | None:
        """Return the metric by corruption and level, and the attack.

        None if the request does not ask for it.
        """
        if not evaluated.wants_robustness or not len(evaluated.rows):
            return None
        rows = evaluated.rows[:: -(-len(evaluated.rows) // MAX_ROWS)]
        metric = next(iter(evaluated.evaluation.metrics))
        return {
            "rows": len(rows),
            "metric": metric,
            "clean": _value(evaluated.predict(rows), metric),
            "corruptions": [
                {
                    "corruption": corruption.name,
                    "summary": corruption.summary,
                    "level": level,
                    "amount": amount,
                    **_value(evaluated.predict(_corrupt(rows, corruption, columns, amount)), metric),
                }
                for corruption, columns in _fitting(evaluated)
                for level, amount in zip(LEVELS, corruption.amounts, strict=True)
            ],
            "attack": evaluated.attack(rows) if evaluated.attack is not None else None,
        }


def _fitting(evaluated: EvaluatedRows) -> Iterator[tuple[Corruption, list[str]]]:
    """Yield the corruptions of the inputs of the task, with the columns that they change."""
    task = evaluated.task
    inputs = {task.encoded_columns[slot] for slot in task.slots if slot in task.encoded_columns}
    has_places = "objects" in task.columns.values()
    for corruption in (corruption_type() for corruption_type in CORRUPTIONS.values()):
        columns = [name for name in task.columns if name in inputs and task.columns[name] == corruption.column_type]
        if columns and (corruption.keeps_places or not has_places):
            yield corruption, columns


def _corrupt(rows: Rows, corruption: Corruption, columns: list[str], amount: float) -> Rows:
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


def _value(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    interval = evaluation.intervals.get(metric)
    return {"metric_value": evaluation.metrics[metric], "interval": list(interval) if interval else None}
