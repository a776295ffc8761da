"""Conversion of Arrow files to Parquet, batch by batch.

`save_to_disk` of Hugging Face datasets writes such files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.files.upload import ARROW_FILE_MAGIC
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.data.files.upload import UploadedFile
    from ml.data.limits import Limits


def convert_to_parquet(source: UploadedFile, path: Path, limits: Limits) -> UploadedFile:
    """Write an Arrow file as Parquet to `path`, with its schema and class names.

    Raises `DataRejected` if it is damaged, compressed as a whole, or larger than the limits allow.
    """
    at = Location(file=source.name)
    if source.compression:
        raise DataRejected("unsupported_file", actual=f"Arrow inside {source.compression}", expected="Arrow", at=at)
    size = source.path.stat().st_size
    max_bytes = min(limits.max_total_bytes, max(limits.max_unchecked_bytes, size * limits.max_ratio))
    try:
        with pa.OSFile(str(source.path)) as file:
            schema, batches = _open(file)
            with pq.ParquetWriter(path, schema) as writer:
                for batch in batches:
                    batch.validate(full=True)
                    max_bytes -= batch.nbytes
                    if max_bytes < 0:
                        raise DataRejected("archive_bomb", actual="buffers far larger than the file", at=at)
                    writer.write_batch(batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataRejected("damaged_file", actual=error, at=at) from error
    return replace(source, path=path)


def _open(file: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the batches of a stream or a file."""
    is_file = file.read(len(ARROW_FILE_MAGIC)) == ARROW_FILE_MAGIC
    file.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(file)
        return stream.schema, iter(stream)
    reader = pa.ipc.open_file(file)
    return reader.schema, map(reader.get_batch, range(reader.num_record_batches))
