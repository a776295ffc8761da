"""Downloads of predictions: the file of a job of the kind `batch_predict`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

from store.blobs.parts import list_parts, predictions_key
from store.errors import Conflict
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from store.blobs import Blobs
    from store.tables import Job as JobRow

JSON_LINES: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
BLOCK_BYTES: Final = 1 << 20


def respond_with_predictions(row: JobRow, blobs: Blobs) -> StreamingResponse:
    """Return the file of a job.

    While it runs, or if it was canceled, these are JSON lines of what is done. Raises `Conflict` for a job of another
    kind, and before the first rows are done.
    """
    if row.kind != JobKind.BATCH_PREDICT:
        raise Conflict(f"{row.id} is of the kind {row.kind}; only batch_predict makes predictions")
    parquet_key = f"{predictions_key(row.id)}/predictions.parquet"
    if row.state == "succeeded" and row.spec.get("format") == "parquet":
        keys, media_type, suffix = [parquet_key], PARQUET, "parquet"
    else:
        keys, media_type, suffix = [part.key for part in list_parts(blobs, row.id)], JSON_LINES, "jsonl"
    if not keys:
        raise Conflict(f"{row.id} is {row.state} and has no predictions yet; read them once it is running")
    headers = {
        "Content-Disposition": f'attachment; filename="predictions-{row.id}.{suffix}"',
        "Content-Length": str(sum(_length(blobs, key) for key in keys)),
    }
    return StreamingResponse(_read(keys, blobs), headers=headers, media_type=media_type)


def _length(blobs: Blobs, key: str) -> int:
    with blobs.open(key) as file:
        return file.seek(0, os.SEEK_END)


def _read(keys: Sequence[str], blobs: Blobs) -> Iterator[bytes]:
    for key in keys:
        with blobs.open(key) as file:
            while block := file.read(BLOCK_BYTES):
                yield block
