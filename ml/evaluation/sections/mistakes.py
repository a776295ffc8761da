"""Mistakes: the rows where the model is wrong, which one can open by their index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.evaluation.sections.base import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.evaluation.evaluated_rows import EvaluatedRows

MAX_MISTAKES: Final = 1000
#: Lists of a task's own report, and the number of their first row.
_LISTS: Final[Mapping[str, int]] = {"errors": 0, "worst": 1}
_TRUTH: Final = ("label", "value", "reference", "expected", "target")
_ANSWER: Final = ("predicted", "answer", "found", "output")


class MistakesSection(Section):
    """Mistakes of a classifier, or the worst rows of another task."""

    name = "mistakes"
    summary = "Rows where the model is wrong, the surest first"

    def measure(self, evaluated: EvaluatedRows) -> dict[str, Any] | None:
        """Return the number of mistakes, and `index`, `truth` and `answer` of each row."""
        is_classifier = "logits" in evaluated.outputs and "label" in evaluated.columns
        if is_classifier and evaluated.has_one_output_per_row:
            return _classification_mistakes(evaluated)
        return _listed_mistakes(evaluated.evaluation.extra)


def _classification_mistakes(evaluated: EvaluatedRows) -> dict[str, Any]:
    logits, label = np.asarray(evaluated.outputs["logits"]), np.asarray(evaluated.columns["label"])
    wrong = np.flatnonzero(logits.argmax(axis=1) != label)
    outputs = evaluated.task.decode({"logits": logits[wrong]}) if len(wrong) else []
    order = sorted(range(len(wrong)), key=lambda position: -outputs[position]["confidence"])
    rows = [
        {
            "index": int(wrong[position]),
            "truth": evaluated.task.labels[label[wrong[position]]],
            "answer": outputs[position]["label"],
            "confidence": outputs[position]["confidence"],
        }
        for position in order[:MAX_MISTAKES]
    ]
    return {"count": len(wrong), "rows": rows}


def _listed_mistakes(extra: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the rows that the task lists as its worst; it does not count all."""
    for name, first in _LISTS.items():
        items = [item for item in extra.get(name) or [] if isinstance(item, dict)]
        rows = [row for item in items if (row := _to_row(item, first)) is not None]
        if rows:
            return {"count": None, "rows": rows[:MAX_MISTAKES]}
    return None


def _to_row(item: Mapping[str, Any], first: int) -> dict[str, Any] | None:
    index = item.get("index", item["row"] - first if "row" in item else None)
    if index is None:
        return None
    named = {"truth": _TRUTH, "answer": _ANSWER}
    source = {field: next((name for name in names if name in item), None) for field, names in named.items()}
    row = {"index": index, **{field: item[name] for field, name in source.items() if name is not None}}
    others = {"index", "row", *source.values()}
    return row | {name: value for name, value in item.items() if name not in others}
