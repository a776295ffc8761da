"""Writes the feedback of a derivation to a file for the sandbox."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.data.derivation.feedback_rows import ADD_FEEDBACK, choose_split
from store.adaptation import feedback
from store.database import reading

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

#: Rows that a label needs which the dataset does not have; fewer could be neither learned nor measured.
MIN_NEW_LABEL_ROWS: Final = 5


def write_feedback(operations: Sequence[Mapping[str, Any]], path: Path, *, classes: Collection[str]) -> Path | None:
    """Write the rows of `add_feedback` as JSON lines; return None without such an operation.

    Rows of a new label are left out while they are few.
    """
    operation = next((item for item in operations if item["operation"] == ADD_FEEDBACK), None)
    if operation is None:
        return None
    with reading() as session, path.open("w", encoding="utf-8") as file:
        name, until = operation["model"], operation["until"]
        labels = Counter(dict.fromkeys(classes, 0))
        trained: set[str] = set(classes)
        for input_sha256, label, _ in feedback.rows(session, name, until=until):
            labels[label] += 1
            if choose_split(input_sha256) == "train":
                trained.add(label)
        accepted = {label for label, count in labels.items() if label in classes or count >= MIN_NEW_LABEL_ROWS}
        for input_sha256, label, content in feedback.rows(session, name, until=until):
            if label in accepted & trained:
                row = {"input": json.loads(content), "label": label, "split": choose_split(input_sha256)}
                file.write(json.dumps(row) + "\n")
    return path
