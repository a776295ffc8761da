"""Checks operations against the summaries of datasets, before a job is queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.data.derivation.operations import (
    DropRows,
    FilterRows,
    JoinDataset,
    LeaveOutBadRows,
    MergeClasses,
    ReadAgain,
    RelabelRows,
)
from ml.errors import Finding, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.derivation.operations import AnyOperation


def check_operations(
    operations: Sequence[AnyOperation], summary: DatasetSummary, others: Mapping[str, DatasetSummary]
) -> list[Finding]:
    """Return every fault of operations on a dataset, empty if they can be applied.

    `others`: reference -> summary, for the datasets that operations name and that are ready.
    """
    classes = list(summary.classes or ())
    findings: list[Finding] = []
    has_filtered_objects = False
    for number, operation in enumerate(operations):
        path = f"operations.{number}"
        findings += _check_operation(operation, summary, classes, others, path)
        if has_filtered_objects and isinstance(operation, RelabelRows) and operation.objects is not None:
            message = "relabel names objects by their positions, which an earlier filter of objects changes"
            hint = "Put relabel before the filter."
            findings.append(Finding(code="invalid_order", path=f"{path}.objects", message=message, hint=hint))
        if isinstance(operation, FilterRows) and "objects" in summary.columns.values():
            has_filtered_objects |= operation.selects_objects
        if isinstance(operation, MergeClasses):
            classes.append(operation.into)
        if isinstance(operation, RelabelRows):
            classes += [name for labels in (operation.labels or {}).values() for name in labels.values()]
            images = [image for split in (operation.objects or {}).values() for image in split.values()]
            classes += [name for image in images for name in image.values()]
        if isinstance(operation, JoinDataset) and operation.dataset in others:
            classes += others[operation.dataset].classes or ()
    return findings


def _check_operation(
    operation: AnyOperation,
    summary: DatasetSummary,
    classes: Sequence[str],
    others: Mapping[str, DatasetSummary],
    path: str,
) -> Iterator[Finding]:
    column_types = summary.columns.values()
    if _needs_objects(operation) and "objects" not in column_types:
        message = f"{operation.operation} of objects needs images with objects; it has {_list(summary.columns)}"
        yield Finding(code="no_objects", path=path, message=message, hint="Name classes of rows instead.")
        return
    names_classes = isinstance(operation, FilterRows) and (operation.classes or operation.without_classes)
    needs_classes = operation.needs_labels or names_classes
    if needs_classes and "label" not in column_types and not ("objects" in column_types and _has_objects(operation)):
        message = f"{operation.operation} needs a dataset with one class for each row; it has {_list(summary.columns)}"
        yield Finding(code="no_labels", path=path, message=message, hint="Use an operation that needs no classes.")
        return
    if isinstance(operation, DropRows | RelabelRows) and operation.finding is not None:
        yield from _check_finding(operation.finding, summary, f"{path}.finding")
    if isinstance(operation, DropRows):
        for split, indices in (operation.rows or {}).items():
            yield from _check_positions(split, indices, summary, f"{path}.rows.{split}")
    if isinstance(operation, RelabelRows):
        for split, labels in (operation.labels or {}).items():
            yield from _check_positions(split, list(labels), summary, f"{path}.labels.{split}")
        for split, images in (operation.objects or {}).items():
            yield from _check_positions(split, list(images), summary, f"{path}.objects.{split}")
    if isinstance(operation, MergeClasses | FilterRows):
        for name in (*(operation.classes or ()), *(getattr(operation, "without_classes", None) or ())):
            if name not in classes:
                yield unknown("class", name, classes, path=f"{path}.classes")
    if isinstance(operation, FilterRows) and operation.reads_texts and operation.text_column(summary.columns) is None:
        message = f"there is no column {operation.column or ''} with texts; columns: {_list(summary.columns)}"
        yield Finding(code="column_missing", path=f"{path}.column", message=message, hint="Name a column of type text.")
    if isinstance(operation, JoinDataset) and operation.dataset in others:
        yield from _check_columns(others[operation.dataset], summary, f"{path}.dataset")


def _needs_objects(operation: AnyOperation) -> bool:
    """Return whether an operation is one on objects in images alone."""
    if isinstance(operation, RelabelRows):
        return operation.objects is not None
    return isinstance(operation, FilterRows) and operation.min_box_pixels is not None


def _has_objects(operation: AnyOperation) -> bool:
    """Return whether an operation can be one on objects in images."""
    return _needs_objects(operation) or isinstance(operation, FilterRows | MergeClasses)


def check_order(operations: Sequence[AnyOperation], *, is_rejected: bool) -> list[Finding]:
    """Check that operations which read the upload again are allowed, and stand first.

    A rejected dataset has no rows for others. `read_again` is the only operation.
    """
    path = "operations.0.operation"
    if any(isinstance(operation, ReadAgain) for operation in operations):
        if len(operations) == 1:
            return []
        message = f"read_again is one of {len(operations)} operations, and must be the only one"
        hint = "Read the upload again first, and derive the other operations from the result."
        return [Finding(code="invalid_order", path="operations", message=message, hint=hint)]
    starts_anew = [isinstance(operation, LeaveOutBadRows) for operation in operations]
    if is_rejected and not starts_anew[0]:
        return [
            Finding(
                code="dataset_not_ready",
                path=path,
                message="the dataset was rejected, so that it has no rows yet",
                expected="leave_out_bad_rows",
                hint="Start with leave_out_bad_rows, which reads its upload again without the rows that have an error.",
            )
        ]
    if any(starts_anew[1:]) or (starts_anew[0] and not is_rejected):
        message = "leave_out_bad_rows is the first operation on a rejected dataset, and no other"
        return [Finding(code="invalid_order", path=path, message=message, hint="Remove leave_out_bad_rows.")]
    return []


def _check_finding(code: str, summary: DatasetSummary, path: str) -> Iterator[Finding]:
    if code not in summary.flagged_rows:
        hint = "The report of the dataset has the findings; only some of them list rows."
        yield unknown("finding with rows", code, summary.flagged_rows, path=path, default_hint=hint)


def _check_positions(split: str, indices: Sequence[int], summary: DatasetSummary, path: str) -> Iterator[Finding]:
    count = summary.splits.get(split, 0)
    beyond = [index for index in indices if index >= count]
    if beyond:
        yield Finding(
            code="no_such_row",
            path=path,
            message=f"{split} has {count:,} rows, so there is no row {beyond[0]:,}; positions count from 0",
            found=str(beyond[0]),
            expected=f"0 to {count - 1}" if count else "no row",
            hint="GET /api/v1/datasets/{dataset}/preview?split=&start= shows the rows.",
        )


def _check_columns(joined: DatasetSummary, summary: DatasetSummary, path: str) -> Iterator[Finding]:
    if dict(joined.columns) != dict(summary.columns):
        yield Finding(
            code="columns_differ",
            path=path,
            message=f"it has other columns: {_list(joined.columns)}",
            expected=_list(summary.columns),
            found=_list(joined.columns),
            hint="Join a dataset with the same columns of the same types.",
        )


def _list(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({column_type})" for name, column_type in columns.items())
