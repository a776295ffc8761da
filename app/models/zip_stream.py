"""Creates zips while they are sent, with one block in memory."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

BLOCK_BYTES = 1024**2
#: Modification time of all entries, so that the bytes are always the same.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def stream_zip(paths: Sequence[str], open_file: Callable[[str], BinaryIO]) -> Iterator[bytes]:
    """Yield a zip of files, uncompressed, because weights do not get smaller."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it has the methods that are used
        for path in paths:
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                for block in read_blocks(open_file(path)):
                    target.write(block)
                    yield sink.take()
    yield sink.take()


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a file in blocks, then close it."""
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block


class _Sink:
    """Collects what zipfile writes. It cannot seek, so zipfile writes sizes after each entry."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: everything is in memory."""

    def take(self) -> bytes:
        content = bytes(self._pending)
        self._pending.clear()
        return content
