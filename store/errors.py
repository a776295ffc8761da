"""Exceptions of `store`.

StoreError
├── NotFound           no row has that reference
├── Conflict           the state of the row does not allow it
│   └── PreconditionFailed  the row has changed since the caller last read it
├── QuotaReached       an API key has reached its quota of jobs or CPU time
├── StaleClaim         the run was given to another worker, cancelled or ended: stop writing
├── StorageFull        too little disk space
├── StorageUnavailable blob storage is unreachable or failed
├── DamagedBlob        a blob differs from what was published
├── UploadLocked       another request writes to the upload
├── UploadTooLong      more bytes than the upload's announced length
├── ChecksumMismatch   a piece of an upload differs from its checksum
└── BrokerUnavailable  no notification could be sent; the reconciler sends it again
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Existing names listed in the message of `NotFound`.
MAX_LISTED_NAMES = 50


class StoreError(Exception):
    """Base of all exceptions below."""


class NotFound(StoreError):
    """No row has that reference."""

    def __init__(self, kind: str, reference: str, names: Sequence[str] = ()) -> None:
        """`names` lists those that exist."""
        listed = name_some(names, limit=MAX_LISTED_NAMES)
        super().__init__(f"there is no {kind} {reference!r}{f'; known: {listed}' if listed else ''}")
        self.kind = kind
        self.reference = reference
        self.names = names


class Conflict(StoreError):
    """The state of the row does not allow the change."""


class PreconditionFailed(Conflict):
    """The row has changed since the caller last read it."""


class QuotaReached(StoreError):
    """An API key has reached its quota of jobs or CPU time."""

    def __init__(self, message: str, *, retry_seconds: float | None = None) -> None:
        """`retry_seconds` is the time until something is accepted again, if it is known."""
        super().__init__(message)
        self.retry_seconds = retry_seconds


class StaleClaim(StoreError):
    """The run was given to another worker, cancelled or ended: stop writing."""


class StorageFull(StoreError):
    """Too little disk space."""


class StorageUnavailable(StoreError, OSError):
    """Blob storage is unreachable, or answered with an error."""


class DamagedBlob(StoreError, OSError):
    """A blob differs from what was published."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is damaged: its checksum does not match; restore it from a backup")
        self.key = key


class UploadLocked(StoreError):
    """Another request writes to the upload.

    It can be asked for its offset again in a moment.
    """

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"the upload {upload_id} is being written to by another request; "
            "request its offset with HEAD in a moment, and resume from there"
        )


class UploadTooLong(StoreError):
    """More bytes were sent than the upload's announced length."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the body goes beyond the announced Upload-Length of {length} bytes; send the rest alone")


class ChecksumMismatch(StoreError):
    """A piece of an upload differs from its checksum and was dropped."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"the piece does not match its {algorithm} checksum; send it again")


class BrokerUnavailable(StoreError):
    """No notification could be sent; the reconciler sends it again."""


def name_some(ids: Sequence[str], *, limit: int = 10) -> str:
    """List the first ids, and the number of the others."""
    rest = f" and {len(ids) - limit:,} more" if len(ids) > limit else ""
    return ", ".join(ids[:limit]) + rest
