"""Incomplete uploads: files in `$PLINTH_HOME/incoming`, whose size says how many bytes have arrived.

A killed process leaves everything that is needed to resume: neither memory nor a row is involved. A piece with a
checksum counts only once it is verified; until then a file beside the upload holds the offset at which the piece began.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import TYPE_CHECKING, Any

from store.errors import ChecksumMismatch, NotFound, StorageFull, UploadLocked, UploadTooLong

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 1024**2
CHECKSUMS = ("sha256", "sha1", "md5")

_writers = concurrent.futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="upload")


async def pump(pieces: AsyncIterator[bytes], write: Callable[[list[bytes]], object]) -> None:
    """Pass blocks of pieces to `write` in a thread.

    One block is written while the next one arrives.

    However `pieces` ends, everything received is written and no write is running when this returns. Pieces are not
    joined, as every copy costs at a gigabyte per second.
    """
    block: list[bytes] = []
    size, running = 0, None
    try:
        async for piece in pieces:
            block.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                if running is not None:
                    await asyncio.wrap_future(running)
                running, block, size = _writers.submit(write, block), [], 0
    finally:
        if running is not None:
            concurrent.futures.wait([running])
            running.result()
        if block:
            last = _writers.submit(write, block)
            concurrent.futures.wait([last])
            last.result()


def write_all(file: RawIOBase, data: memoryview) -> None:
    """Write all bytes to an unbuffered file, whose `write` may accept only some of them."""
    while data:
        data = data[file.write(data) or 0 :]


class PartialUploads:
    """The folder of incomplete uploads. `floor_bytes` of the disk stay free."""

    def __init__(self, directory: Path, *, floor_bytes: int) -> None:
        self.directory = directory
        self._floor_bytes = floor_bytes
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, upload_id: str) -> Path:
        """Return the file of an upload."""
        return self.directory / upload_id

    def offset(self, upload_id: str) -> int:
        """Return the number of received bytes, without unverified ones."""
        try:
            return int(self._unverified_path(upload_id).read_text())
        except (FileNotFoundError, ValueError):
            return self.path(upload_id).stat().st_size

    def check_space(self, count: int = 0) -> None:
        """Raise `StorageFull` if `count` more bytes would leave less than the floor."""
        free = shutil.disk_usage(self.directory).free
        if free - count < self._floor_bytes:
            raise StorageFull(
                f"{count} bytes do not fit: {max(free - self._floor_bytes, 0)} are left for uploads on this disk. "
                "Delete datasets or models, then resume."
            )

    def create(self, upload_id: str) -> None:
        """Create the empty file of an upload."""
        self.path(upload_id).touch(mode=0o600, exist_ok=False)

    def discard(self, upload_id: str) -> None:
        """Delete the files of an upload, complete or not."""
        self.path(upload_id).unlink(missing_ok=True)
        self._unverified_path(upload_id).unlink(missing_ok=True)

    @contextmanager
    def open_writer(self, upload_id: str) -> Iterator[Writer]:
        """Open the only writer of an upload.

        Raises:
            NotFound: There is no such upload.
            UploadLocked: Another process or thread writes to it.
        """
        try:
            file = self.path(upload_id).open("r+b", buffering=0)
        except FileNotFoundError:
            raise NotFound("upload", upload_id) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadLocked(upload_id) from None
            writer = Writer(self, file, self._unverified_path(upload_id))
            writer.rewind()
            yield writer

    def _unverified_path(self, upload_id: str) -> Path:
        return self.directory / f"{upload_id}.unverified"


class Writer:
    """Appends to one upload."""

    def __init__(self, uploads: PartialUploads, file: RawIOBase, unverified: Path) -> None:
        self._uploads = uploads
        self._file = file
        self._unverified = unverified
        self.offset = 0

    def rewind(self) -> None:
        """Go to the end of the file, after dropping a piece that was never verified."""
        if self._unverified.exists():
            self._file.truncate(int(self._unverified.read_text() or 0))
            self._unverified.unlink()
        self.offset = self._file.seek(0, os.SEEK_END)

    async def append(self, pieces: AsyncIterator[bytes], *, limit: int, checksum: tuple[str, bytes] | None) -> None:
        """Append all pieces and flush them to the disk.

        Args:
            pieces: The body of a request.
            limit: Announced length of the whole upload in bytes.
            checksum: Algorithm and digest of the pieces together.

        Raises:
            UploadTooLong: The upload would exceed `limit`.
            ChecksumMismatch: The digest differs; the pieces are dropped.
            StorageFull: Too little disk space is left.
        """
        digest = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
        if digest:
            self._unverified.write_text(str(self.offset))
        try:
            await pump(pieces, lambda block: self._write(block, limit=limit, digest=digest))
        finally:
            self.offset = self._file.seek(0, os.SEEK_END)
            await asyncio.get_running_loop().run_in_executor(_writers, os.fsync, self._file.fileno())
        if digest and checksum:
            if digest.digest() != checksum[1]:
                self.rewind()
                raise ChecksumMismatch(checksum[0])
            self._unverified.unlink()

    def _write(self, block: list[bytes], *, limit: int, digest: Any) -> None:  # the type of hashlib.new has no name
        size = sum(len(piece) for piece in block)
        if self._file.tell() + size > limit:
            raise UploadTooLong(limit)
        self._uploads.check_space(size)
        for piece in block:
            if digest:
                digest.update(piece)
            write_all(self._file, memoryview(piece))
