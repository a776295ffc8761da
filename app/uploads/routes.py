"""Routes of resumable uploads, by the tus 1.0 protocol.

Extensions: creation, creation-with-upload, checksum, termination and expiration. `app.http.methods` reads the header
X-HTTP-Method-Override of the core protocol.
"""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.dependencies import NAME, BlobsDep, MetricsDep, PartialUploadsDep, SettingsDep
from app.http import links
from app.http.errors import ProblemError, problem_responses
from app.http.idempotency import REPLAYED, IdempotentRequestDep
from app.uploads import service
from app.uploads.metadata import decode_base64, parse_metadata
from app.uploads.schemas import Upload
from store.partial_uploads import CHECKSUMS

if TYPE_CHECKING:
    from app.metrics.registry import MetricsRegistry
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])

TUS_VERSION = "1.0.0"
PIECE_TYPE = "application/offset+octet-stream"
TUS_HEADERS = {"Tus-Resumable": TUS_VERSION}
EXTENSIONS = ("creation", "creation-with-upload", "checksum", "termination", "expiration")
#: Headers that request another extension, and what to do instead.
OTHER_EXTENSIONS = {
    "upload-concat": ("concatenation", "Send the upload in one part, with `parallelUploads: 1` in tus-js-client."),
    "upload-defer-length": ("creation-defer-length", "Send the total size as 'Upload-Length'."),
}

UploadId = Annotated[str, Path(pattern=NAME, max_length=100, examples=["upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"])]
UploadLength = Annotated[int, Header(ge=0, le=2**62, description="Total size in bytes.", examples=[11])]
UploadOffset = Annotated[int, Header(ge=0, le=2**62, description="Number of bytes that have arrived.", examples=[0])]
UploadMetadata = Annotated[
    str,
    Header(
        max_length=4096,
        description="Pairs `name base64(value)`, separated by commas. The extension of `filename` tells the format; "
        "`relativePath` is the path of a file in a folder.",
    ),
]
UploadChecksum = Annotated[
    str | None, Header(max_length=200, description=f"`algorithm base64(digest)`; algorithms: {', '.join(CHECKSUMS)}.")
]
TusResumable = Annotated[str, Header(description="Version of the protocol.", examples=[TUS_VERSION])]

_EXAMPLES = {"piece": {"summary": "The 11 bytes of an upload whose `Upload-Length` is 11", "value": "hello world"}}
_PIECE_BODY = {
    "requestBody": {"content": {PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}, "examples": _EXAMPLES}}}
}


async def _check_extensions(request: Request) -> None:
    """Reject a header of an extension that is not offered."""
    for header, (extension, step) in OTHER_EXTENSIONS.items():
        if header in request.headers:
            detail = f"This server does not offer the tus extension {extension}. {step}"
            offered = {**TUS_HEADERS, "Tus-Extension": ",".join(EXTENSIONS)}
            raise ProblemError(400, "unsupported_tus_extension", detail, headers=offered)


@router.options("", status_code=204)
async def describe_uploads(settings: SettingsDep) -> Response:
    """Describe the tus extensions and limits of this server."""
    return Response(
        status_code=204,
        headers={
            **TUS_HEADERS,
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Max-Size": str(settings.max_upload_bytes),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        },
    )


@router.post(
    "",
    status_code=201,
    response_model=Upload,
    dependencies=[Depends(_check_extensions)],
    responses={
        201: {"links": links.UPLOAD},
        **problem_responses(
            "beyond_upload_length",
            "checksum_mismatch",
            "invalid_header",
            "storage_full",
            "storage_unavailable",
            "unknown_checksum",
            "unsupported_media_type",
            "unsupported_tus_extension",
            "unsupported_tus_version",
            "upload_too_large",
        ),
    },
    openapi_extra=_PIECE_BODY,
)
async def create_upload(
    request: Request,
    upload_length: UploadLength,
    once: IdempotentRequestDep,
    settings: SettingsDep,
    partial_uploads: PartialUploadsDep,
    blobs: BlobsDep,
    metrics: MetricsDep,
    upload_metadata: UploadMetadata = "",
    upload_checksum: UploadChecksum = None,
    tus_resumable: TusResumable = TUS_VERSION,
) -> Response:
    """Create an upload; `Location` is its URL.

    A body of the type `application/offset+octet-stream` is its first piece.

    ```sh
    curl -i -X POST -H "Authorization: Bearer $PLINTH_API_KEY" -H "Tus-Resumable: 1.0.0" \\
      -H "Upload-Length: $(stat -c %s mnist.zip)" -H "Upload-Metadata: filename $(printf mnist.zip | base64)" \\
      http://127.0.0.1:8000/api/v1/uploads
    ```
    """
    _check_version(tus_resumable)
    checksum = _parse_checksum(upload_checksum)
    _check_length(upload_length, settings.max_upload_bytes)
    has_piece = request.headers.get("content-type") == PIECE_TYPE
    if not has_piece and request.headers.get("content-length", "0") != "0":
        raise ProblemError(415, "unsupported_media_type", f"Send the first piece of an upload as {PIECE_TYPE}.")
    partial_uploads.check_space(upload_length)
    filename = parse_metadata(upload_metadata).get("filename", "data")
    response = await to_thread.run_sync(
        lambda: service.create(
            once,
            partial_uploads,
            length=upload_length,
            filename=filename,
            metadata=upload_metadata,
            expires_seconds=settings.upload_expires_seconds,
        )
    )
    upload_id = response.headers["location"].rpartition("/")[2]
    if (upload_length == 0 or has_piece) and REPLAYED not in response.headers:
        response.headers.update(await _append(request, upload_id, 0, checksum, partial_uploads, blobs, metrics))
    return response


@router.head("/{upload_id}", status_code=200, responses=problem_responses("not_found", "unsupported_tus_version"))
async def read_upload_offset(
    upload_id: UploadId, partial_uploads: PartialUploadsDep, tus_resumable: TusResumable = TUS_VERSION
) -> Response:
    """Read the number of bytes that have arrived; continue from `Upload-Offset`."""
    _check_version(tus_resumable)
    upload, metadata = await to_thread.run_sync(lambda: service.read(partial_uploads, upload_id))
    headers = {
        **_headers(upload),
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.length),
        "Cache-Control": "no-store",
    }
    return Response(headers={**headers, "Upload-Metadata": metadata} if metadata else headers)


@router.get("/{upload_id}", responses=problem_responses("not_found"))
def read_upload(upload_id: UploadId, partial_uploads: PartialUploadsDep) -> Upload:
    """Read the state of an upload as JSON."""
    return service.read(partial_uploads, upload_id)[0]


@router.patch(
    "/{upload_id}",
    status_code=204,
    responses=problem_responses(
        "beyond_upload_length",
        "checksum_mismatch",
        "invalid_header",
        "not_found",
        "offset_mismatch",
        "storage_full",
        "storage_unavailable",
        "unknown_checksum",
        "unsupported_media_type",
        "unsupported_tus_version",
        "upload_locked",
    ),
    openapi_extra=_PIECE_BODY,
)
async def append_to_upload(
    request: Request,
    upload_id: UploadId,
    upload_offset: UploadOffset,
    partial_uploads: PartialUploadsDep,
    blobs: BlobsDep,
    metrics: MetricsDep,
    upload_checksum: UploadChecksum = None,
    tus_resumable: TusResumable = TUS_VERSION,
) -> Response:
    """Append a piece to an upload.

    The piece is on disk when the response arrives. If the connection breaks, what has arrived is kept.

    ```sh
    curl -i -X PATCH -H "Authorization: Bearer $PLINTH_API_KEY" -H "Tus-Resumable: 1.0.0" -H "Upload-Offset: 0" \\
      -H "Content-Type: application/offset+octet-stream" --data-binary @mnist.zip \\
      http://127.0.0.1:8000/api/v1/uploads/upl_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c
    ```
    """
    _check_version(tus_resumable)
    if request.headers.get("content-type") != PIECE_TYPE:
        raise ProblemError(415, "unsupported_media_type", f"Send a piece of an upload as {PIECE_TYPE}.")
    checksum = _parse_checksum(upload_checksum)
    headers = await _append(request, upload_id, upload_offset, checksum, partial_uploads, blobs, metrics)
    return Response(status_code=204, headers=headers)


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=problem_responses("not_found", "storage_unavailable", "unsupported_tus_version", "upload_locked"),
)
def terminate_upload(
    upload_id: UploadId, partial_uploads: PartialUploadsDep, blobs: BlobsDep, tus_resumable: TusResumable = TUS_VERSION
) -> Response:
    """Delete an upload and its bytes."""
    _check_version(tus_resumable)
    service.discard(partial_uploads, blobs, upload_id)
    return Response(status_code=204, headers=TUS_HEADERS)


async def _append(
    request: Request,
    upload_id: str,
    offset: int,
    checksum: tuple[str, bytes] | None,
    partial_uploads: PartialUploads,
    blobs: Blobs,
    metrics: MetricsRegistry,
) -> dict[str, str]:
    """Write the body of a request, and return the headers with the new offset."""
    upload, _ = await to_thread.run_sync(lambda: service.read(partial_uploads, upload_id))
    _check_offset(offset, upload.offset)
    if not upload.complete:
        with partial_uploads.open_writer(upload_id) as writer:
            _check_offset(offset, writer.offset)
            try:
                await writer.append(request.stream(), limit=upload.length, checksum=checksum)
            except ClientDisconnect:
                pass  # What has arrived is kept: the client requests the offset and resumes.
            finally:
                metrics.count_uploaded_bytes(writer.offset - offset)
            if writer.offset == upload.length:
                await to_thread.run_sync(lambda: service.complete(partial_uploads, blobs, upload_id))
            upload = upload.model_copy(update={"offset": writer.offset})
    return {**_headers(upload), "Upload-Offset": str(upload.offset)}


def _headers(upload: Upload) -> dict[str, str]:
    expires = {} if upload.complete else {"Upload-Expires": format_datetime(upload.expires_at, usegmt=True)}
    return {**TUS_HEADERS, **expires}


def _check_version(version: str) -> None:
    if version != TUS_VERSION:
        detail = f"This server supports tus {TUS_VERSION}; send 'Tus-Resumable: {TUS_VERSION}'."
        raise ProblemError(412, "unsupported_tus_version", detail, headers={**TUS_HEADERS, "Tus-Version": TUS_VERSION})


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        detail = f"The upload is larger than the limit of {limit} bytes. Send less, or raise PLINTH_MAX_UPLOAD_BYTES."
        raise ProblemError(413, "upload_too_large", detail, headers={"Tus-Max-Size": str(limit)})


def _check_offset(offset: int, actual: int) -> None:
    if offset != actual:
        detail = f"{actual} bytes have arrived; send the piece that starts at offset {actual}."
        raise ProblemError(409, "offset_mismatch", detail, headers={**TUS_HEADERS, "Upload-Offset": str(actual)})


def _parse_checksum(header: str | None) -> tuple[str, bytes] | None:
    if header is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    if algorithm not in CHECKSUMS:
        detail = f"There is no checksum algorithm {algorithm!r}; known: {', '.join(CHECKSUMS)}."
        raise ProblemError(400, "unknown_checksum", detail)
    return algorithm, decode_base64(encoded, "Upload-Checksum")
