"""Batches of the rows of stored datasets, to be imported again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.dataset import subjects_path
from ml.data.derivation.selection import label_column, raw_values
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.importing.staging import LABEL
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.derivation.selection import DatasetPart, Selection


def read_batches(selection: Selection) -> Iterator[Batch]:
    """Yield the selected rows split by split, as a format does."""
    for part, split, rows in selection.groups():
        stored = part.rows(split, is_raw=True)
        subjects = _read_subjects(part, split)
        cells = part.dataset.unread_cells(split)
        step = min(ROWS_PER_BATCH, max(1, BYTES_PER_BATCH // part.bytes_per_row(split)))
        for start in range(0, len(rows), step):
            batch_rows = rows[start : start + step]
            indices = selection.indices[batch_rows]
            columns: dict[str, Any] = {column: raw_values(stored, column, indices) for column in selection.data_columns}
            if selection.object_column is not None and selection.object_changes:
                values = columns[selection.object_column]
                columns[selection.object_column] = [
                    selection.objects(part, split, row, value)
                    for row, value in zip(batch_rows.tolist(), values, strict=True)
                ]
            if label_column(selection.columns) is not None:
                columns[LABEL] = [selection.classes[code] for code in selection.codes[batch_rows].tolist()]
            yield Batch(
                columns,
                Locations(f"{part.name} {split}", rows=indices + 1),
                split,
                subjects=None if subjects is None else subjects[indices],
                subject_name=part.dataset.summary.subject_name,
                unread={name: [values[row] for row in indices.tolist()] for name, values in cells.items()},
                optional=part.dataset.summary.optional_columns,
            )


def _read_subjects(part: DatasetPart, split: str) -> np.ndarray | None:
    """Return the hashes of the subjects of a split, uint64 [N]; None without any."""
    path = subjects_path(part.dataset.directory, split)
    if not part.dataset.summary.subject_name or not path.exists():
        return None
    subjects: np.ndarray = np.load(path)
    return subjects
