"""A package as a zip that is made while it is sent: no copy on disk, no more memory than a block."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

BLOCK_BYTES = 1024**2
_EPOCH = (1980, 1, 1, 0, 0, 0)


def zipped(paths: Sequence[str], read: Callable[[str], BinaryIO]) -> Iterator[bytes]:
    """The bytes of a zip of `paths`, stored and not compressed: weights do not get smaller. Always the same bytes."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # all a zip needs
        for path in paths:
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                for block in blocks(read(path)):
                    target.write(block)
                    yield sink.take()
    yield sink.take()


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """What a file holds, piece by piece; closed at the end."""
    with source:
        while block := source.read(BLOCK_BYTES):
            yield block


class _Sink:
    """Where zipfile writes to; it cannot seek, so sizes follow each file."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        return len(data)

    def flush(self) -> None:
        """All is in memory."""

    def take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken
