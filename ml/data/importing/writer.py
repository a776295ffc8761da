"""Writes the files of a dataset from staged rows."""

from __future__ import annotations

import hashlib
import json
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ml.data.dataset import (
    SPLITS,
    SUMMARY,
    array_path,
    locations_path,
    parents_path,
    subjects_path,
    table_path,
    unread_path,
)
from ml.data.importing.staging import LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml.data.column_types.base import ColumnType
    from ml.data.dataset import DatasetSummary
    from ml.data.importing.staging import Staging
    from ml.data.item_table import ItemTable
    from ml.data.locations import Locations

#: Columns of the locations of rows: those of `ml.data.issues.Location` that say which row it is.
_LOCATIONS: Final = pa.schema(
    [("file", pa.dictionary(pa.int32(), pa.string())), ("row", pa.int64()), ("line", pa.int64())]
)


def write(
    directory: Path, staging: Staging, splits: np.ndarray, codes: np.ndarray, *, item_table: ItemTable | None = None
) -> str:
    """Write the rows and the table of items; return the digest of the dataset.

    `splits`: int8 [N] into `SPLITS`, below 0 for a row to leave out. `codes`: int32 [N] into the classes.
    """
    column_types = staging.column_types
    shapes = {
        column: None if staging.missing.get(column) else column_type.array_shape(len(staging))
        for column, column_type in column_types.items()
    }
    is_labeled = bool((codes[splits >= 0] >= 0).all())
    writers = {
        code: _SplitWriter(
            directory, SPLITS[code], int((splits == code).sum()), column_types, shapes, is_labeled=is_labeled
        )
        for code in np.unique(splits[splits >= 0])
    }
    for segment, columns in staging.read_segments():
        rows = np.arange(segment.start, segment.start + len(segment))
        for code, writer in writers.items():
            selection = np.flatnonzero(splits[rows] == code)
            if len(selection):
                writer.append(columns, selection, codes[rows[selection]])
                writer.append_locations(segment.origins, segment.rows[selection])
    for writer in writers.values():
        writer.close()
    if (parents := staging.parents) is not None:
        for code in writers:
            np.save(parents_path(directory, SPLITS[code]), parents[splits == code])
    if staging.subject_name:
        subjects = staging.subjects
        for code in writers:
            np.save(subjects_path(directory, SPLITS[code]), subjects[splits == code])
    for code in writers:
        _write_unread_cells(unread_path(directory, SPLITS[code]), staging, splits == code)
    if item_table is None:
        return _digest(staging, splits, codes)
    item_table.write(directory)
    return hashlib.sha256(f"{_digest(staging, splits, codes)} {item_table.digest()}".encode()).hexdigest()


def write_summary(directory: Path, summary: DatasetSummary) -> None:
    """Write `dataset.json`."""
    (directory / SUMMARY).write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_unread_cells(path: Path, staging: Staging, is_selected: np.ndarray) -> None:
    """Write columns that nothing is learned from, if there are any.

    `is_selected` is bool [N].
    """
    columns = {
        name: pa.DictionaryArray.from_arrays(
            pa.array(codes[is_selected], mask=codes[is_selected] < 0), pa.array(values, pa.string())
        )
        for name, (codes, values) in staging.unread_cells.columns(len(staging)).items()
    }
    if columns:
        table = pa.table(columns)
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table)


class _SplitWriter:
    """Appends batches to the files of one split."""

    def __init__(
        self,
        directory: Path,
        split: str,
        rows: int,
        column_types: Mapping[str, ColumnType[Any]],
        shapes: Mapping[str, tuple[int, ...] | None],
        *,
        is_labeled: bool,
    ) -> None:
        self._column_types = column_types
        self._arrays = {
            column: _create_array_file(array_path(directory, split, column), (rows, *shape))
            for column, shape in shapes.items()
            if shape is not None
        }
        fields = [pa.field(column, pa.large_binary()) for column in column_types if column not in self._arrays]
        self._schema = pa.schema([*([pa.field(LABEL, pa.int32())] if is_labeled else []), *fields])
        self._table = pa.ipc.new_file(str(table_path(directory, split)), self._schema)
        # A stream, since a file holds one dictionary for all batches.
        self._locations = pa.ipc.new_stream(str(locations_path(directory, split)), _LOCATIONS)

    def append(self, columns: Mapping[str, np.ndarray | list[bytes]], selection: np.ndarray, codes: np.ndarray) -> None:
        """Append the selected rows of a batch, with their label codes."""
        arrow_columns = {LABEL: pa.array(codes, pa.int32())} if LABEL in self._schema.names else {}
        for column, data in columns.items():
            column_type = self._column_types[column]
            if column not in self._arrays:
                arrow_columns[column] = pa.array(column_type.to_bytes(data, selection), pa.large_binary())
                continue
            for values in column_type.to_arrays(data, selection):
                self._arrays[column].write(np.ascontiguousarray(values).data)
        if arrow_columns:
            self._table.write_batch(pa.record_batch(arrow_columns, schema=self._schema))

    def append_locations(self, locations: Locations, rows: np.ndarray) -> None:
        """Append where the `rows` of a batch, int64 [n], were in the upload."""
        if isinstance(locations.files, str):
            files = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [locations.files])
        else:
            files = pa.array([locations.files[row] for row in rows.tolist()], pa.string()).dictionary_encode()
        numbers = [
            pa.nulls(len(rows), pa.int64()) if values is None else pa.array(values, pa.int64(), mask=values < 1)
            for values in (locations.rows_at(rows), locations.lines_at(rows))
        ]
        self._locations.write_batch(pa.record_batch([files, *numbers], schema=_LOCATIONS))

    def close(self) -> None:
        """Complete the files."""
        self._table.close()
        self._locations.close()
        for file in self._arrays.values():
            file.close()


def _create_array_file(path: Path, shape: tuple[int, ...]) -> IO[bytes]:
    file = path.open("wb")
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file


def _digest(staging: Staging, splits: np.ndarray, codes: np.ndarray) -> str:
    """Return the sha256 of the content of the rows, independent of how they are stored."""
    digest = hashlib.sha256()
    hashes_by_column = [staging.hashes_of(column) for column in staging.column_types]
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == code)
        digest.update(json.dumps([split, len(rows)]).encode())
        for hashes in hashes_by_column:
            digest.update(hashes[rows].tobytes())
        digest.update(codes[rows].astype("<i4").tobytes())
    return digest.hexdigest()
