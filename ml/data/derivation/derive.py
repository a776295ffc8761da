"""Applies operations to a stored dataset, and imports the result as another.

The rows pass the same checks as an upload: the next version has its own report, summary and digest.
"""

from __future__ import annotations

import tempfile
from itertools import chain
from typing import TYPE_CHECKING

from ml.data.dataset import Dataset
from ml.data.derivation.feedback_rows import find_corrected, read_feedback
from ml.data.derivation.selection import DatasetPart, Selection
from ml.data.derivation.stored_rows import read_batches
from ml.data.importing.importer import DatasetRequirements, Importer
from ml.data.importing.splits import SplitPlan
from ml.data.importing.staging import LABEL
from ml.data.issues import DataRejected
from ml.data.item_table import ItemTable
from ml.data.limits import Limits
from ml.data.report import Suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ml.data.derivation.operations import AnyOperation
    from ml.data.report import ImportReport


def derive_dataset(
    source: Path,
    into: Path,
    operations: Sequence[AnyOperation],
    *,
    name: str,
    others: Mapping[str, Path] | None = None,
    feedback: Path | None = None,
    limits: Limits | None = None,
    tasks: Mapping[str, DatasetRequirements] | None = None,
) -> ImportReport:
    """Derive a dataset from a stored one, which stays as it is.

    Args:
        source: Folder of the dataset to derive from.
        into: Folder of the new dataset, which must be absent or empty.
        operations: Applied in this order.
        name: Name of the source in the report, as `reviews@1`.
        others: Reference -> folder, for the datasets that operations name.
        feedback: File of rows that are added, as `read_feedback` reads them.
        limits: Limits on the new dataset.
        tasks: Tasks by name.

    Raises:
        DataError: A stored dataset is damaged.
        OSError: The disk is full.
    """
    limits = limits or Limits()
    source_rows = selection = Selection.of(DatasetPart(Dataset.open(source), name))
    other_selections = {
        reference: Selection.of(DatasetPart(Dataset.open(folder), reference))
        for reference, folder in (others or {}).items()
    }
    messages = []
    for operation in operations:
        result = operation.apply(selection, other_selections)
        messages.append(_describe(operation, selection, result))
        selection = result
    summary = selection.parts[0].dataset.summary
    type_names = {column: column_type for column, column_type in summary.columns.items() if column_type != LABEL}
    column = selection.data_columns[0]
    if feedback is not None:
        corrected = find_corrected(selection, feedback, column, limits=limits)
        selection = selection.take(~corrected)
        messages.append(f"add_feedback replaced {int(corrected.sum()):,} rows whose inputs have feedback")
    with tempfile.TemporaryFile(dir=into.parent) as scratch:
        importer = Importer(scratch, limits, tasks or {}, task=summary.task)
        importer.split_plan = SplitPlan(is_final=True, random_splits=summary.random_splits)
        for operation in operations:
            for at, number, count in operation.missing_objects(source_rows):
                expected = f"0 to {count - 1}" if count else "no object, as the image has none"
                importer.issues.add("no_such_object", at=at, actual=number, expected=expected)
        try:
            added = read_feedback(feedback, column) if feedback else ()
            # Behind the other rows of their split, so that the old test rows come first.
            importer.stage(chain(read_batches(selection), added), summary.format, type_names)
            _join_item_tables(importer, selection)
        except DataRejected as rejection:
            importer.issues.record(rejection)
        report = importer.finish(into)
    if feedback is not None:
        messages.append(f"add_feedback added {len(importer.staging) - len(selection):,} rows")
    suggestions = [*(Suggestion(message=message) for message in messages), *report.suggestions]
    return report.model_copy(update={"suggestions": suggestions})


def _join_item_tables(importer: Importer, selection: Selection) -> None:
    """Give the new dataset the table of items of its parts."""
    tables = [table for part in selection.parts if (table := part.dataset.item_table())]
    if tables:
        (column,) = (name for name, column_type in selection.columns.items() if column_type == "items")
        importer.item_table = ItemTable.join(tables)
        items = {item for _, history in selection.values(column) for item in history}
        importer.item_counts = importer.item_table.count_differences(items)


def _describe(operation: AnyOperation, before: Selection, after: Selection) -> str:
    """Return what an operation has changed, for the report."""
    name = operation.operation
    if len(after) < len(before):
        return f"{name} dropped {len(before) - len(after):,} of {len(before):,} rows"
    if len(after) > len(before):
        return f"{name} added {len(after) - len(before):,} rows to {len(before):,}"
    if len(after.object_changes) > len(before.object_changes):
        return f"{name} changed the objects of images"
    changed = sum(
        before.classes[old] != after.classes[new]
        for old, new in zip(before.codes.tolist(), after.codes.tolist(), strict=True)
        if old >= 0
    )
    return f"{name} changed the class of {changed:,} rows" if changed else f"{name} changed nothing"
