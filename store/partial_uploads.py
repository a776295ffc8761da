"""Uploads on their way: files in `$PLINTH_HOME/incoming`, whose size is the only truth about how much has arrived.

Nothing in memory and no row is needed to go on after the process was killed. A piece that comes with a checksum counts
only once it is verified: until then a file beside it says where it began.
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
    """Give what arrives to `write` by blocks of pieces, in a thread: one is written while the next one arrives.

    However `pieces` ends, all that came is written and no write is still running when this returns. Pieces are never
    joined: at a gigabyte a second each copy counts.
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
    """Write to an unbuffered file, however few bytes it takes at a time."""
    while data:
        data = data[file.write(data) or 0 :]


class PartialUploads:
    """The folder. `floor_bytes` of the disk stay free."""

    def __init__(self, directory: Path, *, floor_bytes: int) -> None:
        self.directory = directory
        self._floor_bytes = floor_bytes
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, upload_id: str) -> Path:
        """Where the bytes of an upload lie."""
        return self.directory / upload_id

    def offset(self, upload_id: str) -> int:
        """How many bytes are here to stay."""
        try:
            return int(self._unverified(upload_id).read_text())
        except (FileNotFoundError, ValueError):
            return self.path(upload_id).stat().st_size

    def check_space(self, count: int = 0) -> None:
        """Raises `StorageFull` where `count` more bytes would leave too little."""
        free = shutil.disk_usage(self.directory).free
        if free - count < self._floor_bytes:
            raise StorageFull(
                f"{count} bytes do not fit: {max(free - self._floor_bytes, 0)} are left for uploads on this disk. "
                "Delete datasets or models, then go on."
            )

    def create(self, upload_id: str) -> None:
        """An upload of which nothing has arrived."""
        self.path(upload_id).touch(mode=0o600, exist_ok=False)

    def discard(self, upload_id: str) -> None:
        """Forget an upload, arrived or not."""
        self.path(upload_id).unlink(missing_ok=True)
        self._unverified(upload_id).unlink(missing_ok=True)

    @contextmanager
    def writing(self, upload_id: str) -> Iterator[Writer]:
        """Open the only writer of an upload; raises `UploadLocked` while another process or thread holds it."""
        try:
            opened = self.path(upload_id).open("r+b", buffering=0)
        except FileNotFoundError:
            raise NotFound("upload", upload_id) from None
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadLocked(upload_id) from None
            writer = Writer(self, file, self._unverified(upload_id))
            writer.rewind()
            yield writer

    def _unverified(self, upload_id: str) -> Path:
        return self.directory / f"{upload_id}.unverified"


class Writer:
    """Appends to one upload."""

    def __init__(self, incoming: PartialUploads, file: RawIOBase, unverified: Path) -> None:
        self._incoming = incoming
        self._file = file
        self._unverified = unverified
        self.offset = 0

    def rewind(self) -> None:
        """To the end of what counts; a piece that was never verified is dropped."""
        if self._unverified.exists():
            self._file.truncate(int(self._unverified.read_text() or 0))
            self._unverified.unlink()
        self.offset = self._file.seek(0, os.SEEK_END)

    async def append(self, pieces: AsyncIterator[bytes], *, limit: int, checksum: tuple[str, bytes] | None) -> None:
        """Write all of `pieces`, and be sure it is on the disk. What goes beyond `limit` is refused."""
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
        self._incoming.check_space(size)
        for piece in block:
            if digest:
                digest.update(piece)
            write_all(self._file, memoryview(piece))
