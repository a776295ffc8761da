"""Batches of the rows of stored datasets, to be imported again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.dataset import parents_path, subjects_path
from ml.data.derivation.selection import label_column, raw_values
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.importing.staging import LABEL
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.data.dataset import StoredLocations
    from ml.data.derivation.selection import DatasetPart, Selection


def read_batches(selection: Selection) -> Iterator[Batch]:
    """Yield the selected rows split by split, as a format does."""
    for part, split, rows in selection.groups():
        stored = part.rows(split, is_raw=True)
        subjects = _read_subjects(part, split)
        parents = _read_hashes(parents_path(part.dataset.directory, split))
        origins = part.dataset.all_locations(split)
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
                parents=None if parents is None else parents[indices],
                subjects=None if subjects is None else subjects[indices],
                subject_name=part.dataset.summary.subject_name,
                origins=None if origins is None else _pick(origins, indices),
                unread=part.dataset.unread_cells(split, indices),
                optional=part.dataset.summary.optional_columns,
            )


def _pick(stored: StoredLocations, indices: np.ndarray) -> Locations:
    """Return where rows at `indices`, int64 [n] in any order, were in their uploads."""
    codes = stored.files[indices]
    # One text for all rows of a table, and none for each.
    is_one_file = len(codes) > 0 and bool((codes == codes[0]).all())
    files = stored.names[codes[0]] if is_one_file else [stored.names[code] for code in codes.tolist()]
    return Locations(files, rows=stored.rows[indices], lines=stored.lines[indices])


def _read_subjects(part: DatasetPart, split: str) -> np.ndarray | None:
    """Return the hashes of the subjects of a split, uint64 [N]; None without any."""
    return _read_hashes(subjects_path(part.dataset.directory, split)) if part.dataset.summary.subject_name else None


def _read_hashes(path: Path) -> np.ndarray | None:
    """Return the hashes in a file, uint64 [N]; None without the file."""
    if not path.exists():
        return None
    hashes: np.ndarray = np.load(path)
    return hashes
