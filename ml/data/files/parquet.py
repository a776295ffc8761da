"""Parquet files, checked against the limits by their footer before any page is unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.files.upload import UploadedFile
    from ml.data.limits import Limits

_MAX_FOOTER_STRING_BYTES: Final = 16 << 20


#: Errors of pyarrow and of its users at a damaged file.
DAMAGE: Final = (pa.ArrowException, OSError, ValueError, KeyError, IndexError)


def open_parquet(source: UploadedFile, limits: Limits) -> pq.ParquetFile:
    """Open a file, to be closed by the caller.

    Raises `DataRejected` if it is compressed as a whole, or has too many rows, columns or cells, and `DAMAGE` if it is
    damaged.
    """
    if source.compression:
        raise DataRejected(
            "unsupported_file", actual=f"Parquet inside {source.compression}", expected="uncompressed Parquet"
        )
    file = pq.ParquetFile(source.path, thrift_string_size_limit=_MAX_FOOTER_STRING_BYTES)
    try:
        _check_size(file.metadata, limits)
    except DataRejected:
        file.close()
        raise
    return file


def _check_size(metadata: pq.FileMetaData, limits: Limits) -> None:
    rows, columns = f"{metadata.num_rows:,} rows", f"{metadata.num_columns:,} columns"
    if metadata.num_rows > limits.max_rows:
        raise DataRejected("too_many_rows", actual=rows, expected=f"at most {limits.max_rows:,} rows")
    if metadata.num_columns > limits.max_columns or metadata.num_rows * metadata.num_columns > limits.max_cells:
        expected = f"at most {limits.max_columns:,} columns and {limits.max_cells:,} cells"
        raise DataRejected("table_too_large", actual=f"{rows} x {columns}", expected=expected)
