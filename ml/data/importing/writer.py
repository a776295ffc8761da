"""Writing a dataset: as it will be read, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ml.data.dataset import SPLITS, SUMMARY, array_path, table_path
from ml.data.importing.staging import LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml.data.column_types.base import ColumnType
    from ml.data.dataset import DatasetSummary
    from ml.data.importing.staging import Staging


def write(directory: Path, staging: Staging, splits: np.ndarray, codes: np.ndarray) -> str:
    """Write the rows of every split (int8 [N] into `SPLITS`, below 0: left out) and return their digest."""
    shapes = {column: kind.plain_shape(len(staging)) for column, kind in staging.kinds.items()}
    writers = {
        code: _SplitWriter(
            directory,
            SPLITS[code],
            int((splits == code).sum()),
            staging.kinds,
            shapes,
            labelled=bool((codes >= 0).all()),
        )
        for code in np.unique(splits[splits >= 0])
    }
    for segment, columns in staging.load():
        rows = np.arange(segment.start, segment.start + len(segment))
        for code, writer in writers.items():
            chosen = np.flatnonzero(splits[rows] == code)
            if len(chosen):
                writer.append(columns, chosen, codes[rows[chosen]])
    for writer in writers.values():
        writer.close()
    return _digest(staging, splits, codes)


def write_summary(directory: Path, summary: DatasetSummary) -> None:
    """`dataset.json`."""
    (directory / SUMMARY).write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")


class _SplitWriter:
    """One split, appended to batch by batch."""

    def __init__(
        self,
        directory: Path,
        split: str,
        rows: int,
        kinds: Mapping[str, ColumnType[Any]],
        shapes: Mapping[str, tuple[int, ...] | None],
        *,
        labelled: bool,
    ) -> None:
        self._kinds = kinds
        self._arrays = {
            column: _array_file(array_path(directory, split, column), (rows, *shape))
            for column, shape in shapes.items()
            if shape is not None
        }
        fields = [pa.field(column, pa.large_binary()) for column in kinds if column not in self._arrays]
        self._schema = pa.schema([*([pa.field(LABEL, pa.int32())] if labelled else []), *fields])
        self._table = pa.ipc.new_file(str(table_path(directory, split)), self._schema)

    def append(self, columns: Mapping[str, np.ndarray | list[bytes]], chosen: np.ndarray, codes: np.ndarray) -> None:
        """The chosen of these rows, with their labels."""
        written = {LABEL: pa.array(codes, pa.int32())} if LABEL in self._schema.names else {}
        for column, data in columns.items():
            kind = self._kinds[column]
            if column not in self._arrays:
                written[column] = pa.array(kind.as_bytes(data, chosen), pa.large_binary())
                continue
            for values in kind.as_arrays(data, chosen):
                self._arrays[column].write(np.ascontiguousarray(values).data)
        if written:
            self._table.write_batch(pa.record_batch(written, schema=self._schema))

    def close(self) -> None:
        """Complete the files."""
        self._table.close()
        for file in self._arrays.values():
            file.close()


def _array_file(path: Path, shape: tuple[int, ...]) -> IO[bytes]:
    file = path.open("wb")
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file


def _digest(staging: Staging, splits: np.ndarray, codes: np.ndarray) -> str:
    """Of what the rows are, not of how they are stored."""
    digest = hashlib.sha256()
    hashes = [staging.hashes_of(column) for column in staging.kinds]
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == code)
        digest.update(json.dumps([split, len(rows)]).encode())
        for each in hashes:
            digest.update(each[rows].tobytes())
        digest.update(codes[rows].astype("<i4").tobytes())
    return digest.hexdigest()
