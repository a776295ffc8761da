"""Contents of downloads: packages, single files and exports, each with its length and entity tag."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO, Final

from app.models.zip_stream import LAYOUT, stream_zip, zip_length
from app.ranges import Content, measure, read_blocks
from store.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.blobs import Blobs

ZIP: Final = "application/zip"
OCTET_STREAM: Final = "application/octet-stream"
#: Size of the end of a zip in which its directory lies, with the checksum and the size of each file.
_DIRECTORY_BYTES: Final = 1024**2


def read_package(model_id: str, key: str, paths: Sequence[str], blobs: Blobs) -> Content:
    """Return a package as a zip.

    Its files never change, so that the id of the model is its tag.
    """
    sizes = {path: measure(blobs.open(f"{key}/{path}")) for path in paths}
    return Content(
        length=zip_length(sizes),
        etag=f'"{model_id}-zip{LAYOUT}"',
        media_type=ZIP,
        read=lambda start: stream_zip(paths, lambda path: blobs.open(f"{key}/{path}"), start=start),
    )


def read_package_file(model_id: str, key: str, path: str, blobs: Blobs) -> Content:
    """Return one file of a package."""
    blob = f"{key}/{path}"
    return Content(
        length=measure(blobs.open(blob)),
        etag=f'"{model_id}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"',
        media_type=OCTET_STREAM,
        read=lambda start: read_blocks(blobs.open(blob), start=start),
    )


def read_export(key: str, blobs: Blobs) -> Content:
    """Return an export; raises `Conflict` if no job has created it."""
    try:
        with blobs.open(key) as file:
            length, fingerprint = _fingerprint(file)
    except NotFound:
        hint = (
            'Start one: POST /api/v1/jobs {"kind": "export", "model": "name@version"}, and retry once it has succeeded'
        )
        raise Conflict(f"no job has exported this version. {hint}") from None
    return Content(
        length=length,
        etag=f'"{fingerprint}"',
        media_type=ZIP,
        read=lambda start: read_blocks(blobs.open(key), start=start),
    )


def _fingerprint(file: BinaryIO) -> tuple[int, str]:
    """Return the length of a zip and a digest of its end.

    The end has the checksums of all files.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _DIRECTORY_BYTES))
    return length, hashlib.sha256(b"%d\n" % length + file.read()).hexdigest()[:32]
