"""What can go wrong in `store`.

StoreError
├── NotFound           no row by that reference
├── Conflict           the row is not in a state that allows it
├── StaleClaim         the run was given to another worker, cancelled or ended: stop writing
├── StorageFull        no space for what was to be kept
├── StorageUnavailable the place where blobs are does not answer
├── DamagedBlob        a blob is not what was published
├── UploadLocked       another request writes to the upload
├── UploadTooLong      more bytes than the upload's announced length
├── ChecksumMismatch   a piece of an upload differs from its checksum
└── BrokerUnavailable  the bell could not be rung; the reconciler will ring it again
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMES = 50
"""So many known names are listed to someone who gave another."""


class StoreError(Exception):
    """Base of all below."""


class NotFound(StoreError):
    """No row by that reference."""

    def __init__(self, kind: str, reference: str, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known[:MOST_NAMES]) + (f" and {len(known) - MOST_NAMES} more" if known[MOST_NAMES:] else "")
        super().__init__(f"there is no {kind} {reference!r}{f'; known: {listed}' if listed else ''}")
        self.kind = kind
        self.reference = reference
        self.known = known


class Conflict(StoreError):
    """The row is not in a state that allows it."""


class PreconditionFailed(Conflict):
    """The row has changed since the caller last read it."""


class StaleClaim(StoreError):
    """The run was given to another worker, cancelled or ended: stop writing."""


class StorageFull(StoreError):
    """No space for what was to be kept."""


class StorageUnavailable(StoreError, OSError):
    """The place where blobs are does not answer, or not as it should."""


class DamagedBlob(StoreError, OSError):
    """A blob is not what was published."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is damaged: its checksum does not match")
        self.key = key


class UploadLocked(StoreError):
    """Another request writes to the upload; it can be asked for its offset again in a moment."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"the upload {upload_id} is being written to by another request; "
            "request its offset with HEAD in a moment, and resume from there"
        )


class UploadTooLong(StoreError):
    """More bytes were sent than the upload's announced length."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the body goes beyond the announced Upload-Length of {length} bytes")


class ChecksumMismatch(StoreError):
    """A piece of an upload differs from its checksum and was dropped."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"the piece does not match its {algorithm} checksum; send it again")


class BrokerUnavailable(StoreError):
    """The bell could not be rung; the reconciler will ring it again."""
