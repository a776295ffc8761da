"""Robustness: the first metric on corrupted rows, and accuracy under attack by radius."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.evaluation.corrupted_rows import corrupt_rows, fitting_corruptions
from ml.evaluation.corruptions.base import LEVELS
from ml.evaluation.sections.base import Section

if TYPE_CHECKING:
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
                    **_value(evaluated.predict(corrupt_rows(rows, corruption, columns, amount)), metric),
                }
                for corruption, columns in fitting_corruptions(evaluated.task)
                for level, amount in zip(LEVELS, corruption.amounts, strict=True)
            ],
            "attack": evaluated.attack(rows) if evaluated.attack is not None else None,
        }


def _value(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    interval = evaluation.intervals.get(metric)
    return {"metric_value": evaluation.metrics[metric], "interval": list(interval) if interval else None}
