"""Uploads, from the first byte announced to the blob that datasets are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.http.errors import ProblemError
from app.uploads.multipart import safe_filename
from app.uploads.schemas import Upload
from store import uploads
from store.database import transaction

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.http.idempotency import Created, IdempotentRequest
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads
    from store.tables import Upload as UploadRow


def create(
    once: IdempotentRequest,
    incoming: PartialUploads,
    *,
    length: int,
    filename: str,
    metadata: str,
    expires_seconds: float,
) -> Response:
    """The answer to a creation."""
    with transaction() as session:

        def make() -> Created:
            row = uploads.create(
                session,
                length=length,
                filename=safe_filename(filename),
                metadata=metadata,
                expires_at=datetime.now(UTC) + timedelta(seconds=expires_seconds),
            )
            incoming.create(row.id)
            location = f"/api/v1/uploads/{row.id}"
            return _seen(row, offset=0), {"Location": location, "Tus-Resumable": "1.0.0", "Upload-Offset": "0"}

        return once.answer(session, body=f"{length} {metadata}".encode(), status=201, make=make)


def read(incoming: PartialUploads, upload_id: str) -> tuple[Upload, str]:
    """An upload as it stands on the disk, and the metadata its client gave it."""
    with transaction() as session:
        row = uploads.get(session, upload_id)
        offset = row.length if row.completed_at else _offset(incoming, row)
        return _seen(row, offset=offset), row.metadata_


def complete(incoming: PartialUploads, blobs: Blobs, upload_id: str) -> str:
    """Move a whole upload to the blobs and return its key; done before, or interrupted half-way, it is simply done.

    Raises `ProblemError` 409 while bytes are missing.
    """
    with transaction() as session:
        row = uploads.get(session, upload_id)
        key = key_of(row.id, row.filename)
        if row.completed_at:
            return key
        offset, length = _offset(incoming, row), row.length
    if offset != length:
        detail = f"The upload {upload_id} has {offset} of {length} bytes. Send the rest first."
        raise ProblemError(409, "upload_incomplete", detail)
    path = incoming.path(upload_id)
    if path.exists():
        blobs.put_file(key, path, move=True)
    with transaction() as session:
        uploads.complete(session, upload_id)
    incoming.discard(upload_id)
    return key


def discard(incoming: PartialUploads, blobs: Blobs, upload_id: str) -> None:
    """Forget an upload and its bytes; raises `UploadLocked` while they are still arriving."""
    with transaction() as session:
        row = uploads.get(session, upload_id)
        key, is_complete = key_of(row.id, row.filename), row.completed_at is not None
    if is_complete:
        _forget(upload_id)
        blobs.delete(key)
        return
    with incoming.open_writer(upload_id):
        _forget(upload_id)
        incoming.discard(upload_id)


def _forget(upload_id: str) -> None:
    with transaction() as session:
        uploads.delete(session, upload_id)


def discard_expired(incoming: PartialUploads) -> None:
    """Forget what was begun and never finished."""
    with transaction() as session:
        expired = uploads.expire(session)
    for upload_id in expired:
        incoming.discard(upload_id)


def key_of(upload_id: str, filename: str) -> str:
    """Where in the blobs an upload lies."""
    return f"uploads/{upload_id}/{filename}"


def _offset(incoming: PartialUploads, row: UploadRow) -> int:
    """A file that is gone was moved to the blobs by a process that died before it could say so."""
    try:
        return incoming.offset(row.id)
    except FileNotFoundError:
        return row.length


def _seen(row: UploadRow, *, offset: int) -> Upload:
    return Upload(
        id=row.id,
        filename=row.filename,
        offset=offset,
        length=row.length,
        complete=offset == row.length,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
