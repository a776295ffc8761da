"""Manifests in Parquet, with class names by the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.files.parquet import DAMAGE
from ml.data.issues import DataRejected, Location
from ml.data.tables.class_labels import column_class_names, decode_class, decode_objects, object_class_names
from ml.data.tables.manifests import ManifestRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.limits import Limits

_ROWS_PER_BATCH = 2048


def read_parquet_manifest(source: UploadedFile, limits: Limits) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest; raises `DataRejected` for a damaged file."""
    with source.open(limits) as content:
        data = content.read()
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            metadata = file.metadata
            if metadata.num_rows > limits.max_rows or metadata.num_rows * metadata.num_columns > limits.max_cells:
                raise DataRejected("too_many_rows", actual=f"{metadata.num_rows:,} rows")
            yield from _read_rows(source.name, file)
    except DAMAGE as error:
        raise DataRejected("damaged_file", actual=error, at=Location(file=source.name)) from error


def _read_rows(name: str, file: pq.ParquetFile) -> Iterator[ManifestRow]:
    metadata, columns = file.schema_arrow.metadata, file.schema_arrow.names
    class_names = {column: column_class_names(metadata, column) for column in columns}
    object_names = {column: object_class_names(metadata, column) for column in columns}
    row = 0
    for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, use_threads=False):
        for cells in batch.to_pylist():
            row += 1
            for column, cell in cells.items():
                if class_names[column]:
                    cells[column] = decode_class(cell, class_names[column])
                elif object_names[column]:
                    cells[column] = decode_objects(cell, object_names[column])
            yield ManifestRow(cells, Location(file=name, row=row))
