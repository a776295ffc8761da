"""Incomplete uploads: the size of the file is the offset, whatever is interrupted."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.errors import ChecksumMismatch, NotFound, StorageFull, UploadLocked, UploadTooLong
from store.partial_uploads import BLOCK_BYTES, PartialUploads, pump


@pytest.fixture
def incoming(tmp_path: Path) -> PartialUploads:
    incoming = PartialUploads(tmp_path / "incoming", floor_bytes=0)
    incoming.create("upl_1")
    return incoming


async def iterate(*pieces: bytes | Exception) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def append(
    incoming: PartialUploads,
    *pieces: bytes | Exception,
    limit: int = 1 << 40,
    checksum: tuple[str, bytes] | None = None,
) -> None:
    with incoming.open_writer("upl_1") as writer:
        asyncio.run(writer.append(iterate(*pieces), limit=limit, checksum=checksum))


def test_pieces_are_written_in_order(incoming: PartialUploads) -> None:
    content = os.urandom(5 * BLOCK_BYTES + 17)
    append(incoming, *[content[start : start + 70_001] for start in range(0, len(content), 70_001)])
    assert incoming.path("upl_1").read_bytes() == content
    assert incoming.offset("upl_1") == len(content)


def test_bytes_before_an_interruption_remain(incoming: PartialUploads) -> None:
    with pytest.raises(ConnectionError):
        append(incoming, b"a" * 10, b"b" * (2 * BLOCK_BYTES), ConnectionError(), b"never")
    assert incoming.offset("upl_1") == 10 + 2 * BLOCK_BYTES
    append(incoming, b"c")
    assert incoming.path("upl_1").read_bytes()[-2:] == b"bc"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_counts_once_its_checksum_matches(incoming: PartialUploads, algorithm: str) -> None:
    append(incoming, b"hello ")
    with pytest.raises(ChecksumMismatch, match=algorithm):
        append(incoming, b"wurld", checksum=(algorithm, hashlib.new(algorithm, b"world").digest()))
    assert incoming.offset("upl_1") == 6
    append(incoming, b"wor", b"ld", checksum=(algorithm, hashlib.new(algorithm, b"world").digest()))
    assert incoming.path("upl_1").read_bytes() == b"hello world"


def test_an_unverified_piece_of_a_killed_process_does_not_count(incoming: PartialUploads) -> None:
    append(incoming, b"base")
    code = f"""
import asyncio, sys
from pathlib import Path
from store.partial_uploads import PartialUploads
async def endless():
    while True:
        yield b"x" * 300_000
        print("written", flush=True)
async def main():
    with PartialUploads(Path({str(incoming.directory)!r}), floor_bytes=0).open_writer("upl_1") as writer:
        await writer.append(endless(), limit=1 << 40, checksum=("sha1", b""))
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while incoming.path("upl_1").stat().st_size < 3 * BLOCK_BYTES:
            assert child.stdout.readline()
        with pytest.raises(UploadLocked, match="upl_1"), incoming.open_writer("upl_1"):
            pass
        child.send_signal(signal.SIGKILL)
    assert incoming.offset("upl_1") == 4
    append(incoming, b" on")
    assert incoming.path("upl_1").read_bytes() == b"base on"


def test_more_bytes_than_announced_are_rejected(incoming: PartialUploads) -> None:
    with pytest.raises(UploadTooLong, match="10 bytes"):
        append(incoming, b"x" * 11, limit=10)
    assert incoming.offset("upl_1") == 0


def test_the_floor_of_free_space_is_respected(tmp_path: Path) -> None:
    incoming = PartialUploads(tmp_path, floor_bytes=1 << 60)
    incoming.create("upl_1")
    with pytest.raises(StorageFull, match="do not fit"):
        append(incoming, b"x")
    assert incoming.offset("upl_1") == 0


def test_a_discarded_upload_is_not_found(incoming: PartialUploads) -> None:
    incoming.discard("upl_1")
    with pytest.raises(NotFound), incoming.open_writer("upl_1"):
        pass


def test_a_failed_write_is_raised_and_no_write_still_runs() -> None:
    def full(_: bytearray) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        asyncio.run(pump(iterate(b"x" * BLOCK_BYTES, b"y" * BLOCK_BYTES, b"z"), full))
