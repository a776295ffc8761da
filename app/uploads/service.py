"""File uploads: creation, completion as a blob, deletion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.http.errors import ProblemError
from app.uploads.metadata import parse_metadata
from app.uploads.multipart import parse_folder_path, safe_filename
from app.uploads.schemas import Upload
from store import uploads
from store.database import transaction
from store.errors import Conflict

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.http.idempotency import Created, IdempotentRequest
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads
    from store.tables import Upload as UploadRow


def create(
    once: IdempotentRequest,
    partial_uploads: PartialUploads,
    *,
    length: int,
    filename: str,
    metadata: str,
    expires_seconds: float,
) -> Response:
    """Create an upload, and return the response."""
    with transaction() as session:

        def build() -> Created:
            row = uploads.create(
                session,
                length=length,
                filename=safe_filename(filename),
                metadata=metadata,
                expires_at=datetime.now(UTC) + timedelta(seconds=expires_seconds),
            )
            partial_uploads.create(row.id)
            location = f"/api/v1/uploads/{row.id}"
            return _to_response(row, offset=0), {"Location": location, "Tus-Resumable": "1.0.0", "Upload-Offset": "0"}

        return once.respond(session, body=f"{length} {metadata}".encode(), status=201, create=build)


def read(partial_uploads: PartialUploads, upload_id: str) -> tuple[Upload, str]:
    """Return an upload as it is on disk, and the metadata that its client sent."""
    with transaction() as session:
        row = uploads.get(session, upload_id)
        offset = row.length if row.completed_at else _offset(partial_uploads, row)
        return _to_response(row, offset=offset), row.metadata_


def complete(partial_uploads: PartialUploads, blobs: Blobs, upload_id: str) -> str:
    """Move a complete upload to blob storage and return its key.

    Can be repeated, also after an interruption. Raises `ProblemError` 409 while bytes are missing.
    """
    with transaction() as session:
        row = uploads.get(session, upload_id)
        key = key_of(row.id, row.filename)
        if row.completed_at:
            return key
        offset, length = _offset(partial_uploads, row), row.length
    if offset != length:
        detail = f"The upload {upload_id} has {offset} of {length} bytes. Send the rest first."
        raise ProblemError(409, "upload_incomplete", detail)
    path = partial_uploads.path(upload_id)
    if path.exists():
        blobs.put_file(key, path, move=True)
    with transaction() as session:
        uploads.complete(session, upload_id)
    partial_uploads.discard(upload_id)
    return key


def complete_source(partial_uploads: PartialUploads, blobs: Blobs, upload_id: str) -> dict[str, str]:
    """Complete an upload, and return it as a source of a dataset.

    Raises `ProblemError` 409 while bytes are missing, and `Conflict` once they were deleted.
    """
    key = complete(partial_uploads, blobs, upload_id)
    if not blobs.exists(key):
        raise Conflict(f"the bytes of {upload_id} were deleted with the dataset made of them; upload the file again")
    with transaction() as session:
        metadata = parse_metadata(uploads.get(session, upload_id).metadata_)
    # Uppy sends `relativePath`, other clients the path as the name.
    paths = (parse_folder_path(metadata.get(name, "")) for name in ("relativePath", "filename"))
    path = next((path for path in paths if path), None)
    return {"key": key, "filename": key.rpartition("/")[2], **({"path": path} if path else {})}


def discard(partial_uploads: PartialUploads, blobs: Blobs, upload_id: str) -> None:
    """Delete an upload and its bytes; raises `UploadLocked` while bytes are arriving."""
    with transaction() as session:
        row = uploads.get(session, upload_id)
        key, is_complete = key_of(row.id, row.filename), row.completed_at is not None
    if is_complete:
        _delete_row(upload_id)
        blobs.delete(key)
        return
    with partial_uploads.open_writer(upload_id):
        _delete_row(upload_id)
        partial_uploads.discard(upload_id)


def _delete_row(upload_id: str) -> None:
    with transaction() as session:
        uploads.delete(session, upload_id)


def discard_expired(partial_uploads: PartialUploads) -> None:
    """Delete uploads that were not finished in time."""
    with transaction() as session:
        expired = uploads.expire(session)
    for upload_id in expired:
        partial_uploads.discard(upload_id)


def key_of(upload_id: str, filename: str) -> str:
    """Return the key of the blob of an upload."""
    return f"uploads/{upload_id}/{filename}"


def _offset(partial_uploads: PartialUploads, row: UploadRow) -> int:
    """Return the number of bytes on disk; all if the file is missing.

    A process moved the file to blob storage, and ended before it updated the row.
    """
    try:
        return partial_uploads.offset(row.id)
    except FileNotFoundError:
        return row.length


def _to_response(row: UploadRow, *, offset: int) -> Upload:
    return Upload(
        id=row.id,
        filename=row.filename,
        offset=offset,
        length=row.length,
        complete=offset == row.length,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
