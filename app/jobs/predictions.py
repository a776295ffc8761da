"""Downloads of predictions: the file of a job of the kind `batch_predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.ranges import Content, measure, read_blocks, respond_with_content
from store.blobs.parts import list_parts, predictions_key
from store.errors import Conflict
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from store.blobs import Blobs
    from store.tables import Job as JobRow

JSON_LINES: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"


def respond_with_predictions(request: Request, row: JobRow, blobs: Blobs) -> Response:
    """Return the file of a job, or a range of it.

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
    sizes = {key: measure(blobs.open(key)) for key in keys}
    length = sum(sizes.values())
    # Lines are only added, and always the same, so that the length tells them apart.
    content = Content(length, f'"{row.id}-{suffix}-{length}"', media_type, lambda start: _read(sizes, blobs, start))
    headers = {"Content-Disposition": f'attachment; filename="predictions-{row.id}.{suffix}"'}
    return respond_with_content(request, content, headers)


def _read(sizes: Mapping[str, int], blobs: Blobs, start: int) -> Generator[bytes, None, None]:
    """Yield the parts behind each other, from byte `start`."""
    for key, size in sizes.items():
        if start < size:
            yield from read_blocks(blobs.open(key), start=start)
        start = max(0, start - size)
