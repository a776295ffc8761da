"""Creates zips while they are sent, with one block in memory.

Their length is known beforehand.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from app.ranges import read_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import BinaryIO

#: Modification time of all entries, so that the bytes are always the same.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: Layout of a zip, for entity tags: to be increased when equal files give other bytes than before.
LAYOUT: Final = 1

# Sizes in bytes of the parts of a zip (PKWARE's APPNOTE, section 4.3), as `zipfile` writes it to a stream.
_LOCAL_HEADER: Final = 30 + 20
_DATA_DESCRIPTOR: Final = 24
_DIRECTORY_ENTRY: Final = 46
_END: Final = 22
_ZIP64_END: Final = 56 + 20
#: Limits above which `zipfile` writes numbers of 64 bits.
_LARGE_BYTES: Final = zipfile.ZIP64_LIMIT
_MANY_FILES: Final = zipfile.ZIP_FILECOUNT_LIMIT


def zip_length(sizes: Mapping[str, int]) -> int:
    """Return the length in bytes of the zip of files with these sizes, in order."""
    offset = directory = 0
    for path, size in sizes.items():
        name = len(path.encode())
        large_numbers = 2 * (size > _LARGE_BYTES) + (offset > _LARGE_BYTES)
        directory += _DIRECTORY_ENTRY + name + (4 + 8 * large_numbers if large_numbers else 0)
        offset += _LOCAL_HEADER + name + size + _DATA_DESCRIPTOR
    is_large = len(sizes) > _MANY_FILES or offset > _LARGE_BYTES or directory > _LARGE_BYTES
    return offset + directory + _END + (_ZIP64_END if is_large else 0)


def stream_zip(
    paths: Sequence[str], open_file: Callable[[str], BinaryIO], *, start: int = 0
) -> Generator[bytes, None, None]:
    """Yield a zip of files from byte `start`, uncompressed, because weights do not get smaller.

    The files before `start` are read, too: the directory at the end of a zip has their checksums.
    """
    sink = _Sink(start)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it has the methods that are used
        for path in paths:
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                for block in read_blocks(open_file(path)):
                    target.write(block)
                    if content := sink.take():
                        yield content
    yield sink.take()


class _Sink:
    """Collects what zipfile writes. It cannot seek, so zipfile writes sizes after each entry."""

    def __init__(self, skipped_bytes: int) -> None:
        self._skipped_bytes = skipped_bytes
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        skipped = min(self._skipped_bytes, len(data))
        self._skipped_bytes -= skipped
        self._pending += memoryview(data)[skipped:]
        return len(data)

    def flush(self) -> None:
        """Do nothing: everything is in memory."""

    def take(self) -> bytes:
        content = bytes(self._pending)
        self._pending.clear()
        return content
