"""The files of an upload: what their first bytes say they are, and their content, decompressed under watch."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Final, Literal, cast

from ml.data.files import audio, images
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ml.data.limits import Limits

FileContent = Literal[
    "empty",
    "idx",
    "zip",
    "tar",
    "parquet",
    "image",
    "audio",
    "json",
    "json list",
    "text",
    "damaged",
    "unsupported",
    "binary",
]

_START_BYTES: Final = 512
_NAMES_LOOKED_AT: Final = 10_000
_FEW_ALIKE: Final = 100
"""So few files of one ending in a large archive say what it is, rather than being what it holds."""
_ARCHIVE_BYTES_LOOKED_AT: Final = 8 << 20
_TAR_MAGIC: Final = slice(257, 262)
_PACKED: Final[tuple[tuple[bytes, str], ...]] = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"))
_FOREIGN: Final = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"MSCF", b"\x04\x22\x4d\x18")
"""7-Zip, RAR, Zstandard, cabinet, LZ4."""
_UNICODE_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_DAMAGE: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
_SPLIT_WORDS: Final = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "t10k": "test",
}


@dataclass(frozen=True)
class UploadedFile:
    """One uploaded file. Its name is for people and for guessing; it never becomes a path."""

    name: str
    path: Path
    requested_split: str | None = None
    """What its owner said it is; goes before what the name tells."""

    @cached_property
    def compression(self) -> str | None:
        """How the whole file is compressed: gzip, bzip2, xz or not at all."""
        start = self._head
        return next((name for magic, name in _PACKED if start.startswith(magic)), None)

    @cached_property
    def content(self) -> FileContent:
        """What the first bytes say, behind any compression; the name has no say."""
        try:
            with self._unpacked() as file:
                start = file.read(_START_BYTES)
        except _DAMAGE:
            return "damaged"
        return _content(start)

    @cached_property
    def member_names(self) -> tuple[str, ...]:
        """Names in an archive, as they are written there: to guess by, never to be opened.

        Of very many, some from everywhere, and those that end unlike most: one table may tell of 100,000 pictures.
        """
        try:
            if self.content == "zip" and self.compression is None:
                with zipfile.ZipFile(self.path) as archive:
                    return _telling(archive.namelist())
            if self.content == "tar":
                return tuple(itertools.islice(self._tar_names(), _NAMES_LOOKED_AT))
        except (*_DAMAGE, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError, struct.error):
            return ()
        return ()

    def _tar_names(self) -> Iterator[str]:
        """As far as the first bytes go: to pass a member by, all of it must be unpacked, and it may have no end."""
        with self._unpacked() as file:
            start = io.BytesIO(file.read(_ARCHIVE_BYTES_LOOKED_AT))
        try:
            with tarfile.open(fileobj=start, mode="r:") as archive:
                for member in archive:
                    yield member.name
        except tarfile.TarError:
            return

    @property
    def split(self) -> str | None:
        """The split that its owner or else its name tells."""
        return self.requested_split or find_split(self.name)

    def open(self, limits: Limits) -> IO[bytes]:
        """The content, decompressed; reading raises `DataRejected` where it is damaged or suspiciously large."""
        return io.BufferedReader(_Watched(self, limits), buffer_size=1 << 17)

    @cached_property
    def _head(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(_START_BYTES)

    def _unpacked(self) -> IO[bytes]:
        match self.compression:
            case "gzip":
                return cast("IO[bytes]", gzip.GzipFile(self.path))
            case "bzip2":
                return cast("IO[bytes]", bz2.BZ2File(self.path))
            case "xz":
                return cast("IO[bytes]", lzma.LZMAFile(self.path))
        return self.path.open("rb")


@dataclass(frozen=True)
class ExtractedFile(UploadedFile):
    """A file out of an archive, held in memory; `path` is the archive's."""

    data: bytes = b""

    @cached_property
    def compression(self) -> str | None:
        """Never: what is packed within an archive is not read."""
        return None

    def _unpacked(self) -> IO[bytes]:
        return io.BytesIO(self.data)


class _Watched(io.RawIOBase):
    """Counts what comes out against what went in, and turns a decompressor's complaints into `DataRejected`."""

    def __init__(self, source: UploadedFile, limits: Limits) -> None:
        self._source = source
        self._file = source._unpacked()
        self._allowed = limits.max_total_bytes
        if source.compression:
            size = source.path.stat().st_size
            self._allowed = min(self._allowed, max(limits.max_unchecked_bytes, size * limits.max_ratio))
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the typeshed's Buffer is 3.12's
        try:
            data = self._file.read(len(buffer))
        except _DAMAGE as error:
            raise DataRejected("damaged_file", actual=error, at=Location(file=self._source.name)) from error
        self._count += len(data)
        if self._count > self._allowed:
            raise DataRejected(
                "archive_bomb" if self._source.compression else "file_too_large",
                actual=f"more than {self._allowed:,} bytes unpacked",
                at=Location(file=self._source.name),
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def find_split(name: str) -> str | None:
    """The one split that the words of a file or folder name tell; None where they tell none or several."""
    found = {_SPLIT_WORDS[word] for word in re.findall(r"[a-z]+(?:\d+k)?", name.lower()) if word in _SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def parse_split(name: str) -> str | None:
    """The split whose name or alias this is, whole."""
    return _SPLIT_WORDS.get(name.strip().lower())


def _telling(names: Sequence[str]) -> tuple[str, ...]:
    """All names, or of very many some from everywhere, and those that end unlike most."""
    if len(names) <= _NAMES_LOOKED_AT:
        return tuple(names)
    endings = Counter(_ending(name) for name in names)
    # By chance, always the same: whoever takes each second may meet pictures alone, where a text lies beside each.
    some = set(random.Random(0).sample(range(len(names)), _NAMES_LOOKED_AT))
    chosen = (name for place, name in enumerate(names) if place in some or endings[_ending(name)] <= _FEW_ALIKE)
    return tuple(itertools.islice(chosen, 2 * _NAMES_LOOKED_AT))


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def is_archive(start: bytes) -> bool:
    """Whether the first bytes are those of an archive or a compressed file of any known kind."""
    packed = tuple(magic for magic, _ in _PACKED)
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06", *packed, *_FOREIGN)) or start[_TAR_MAGIC] == b"ustar"


def _content(start: bytes) -> FileContent:
    if not start:
        return "empty"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[_TAR_MAGIC] == b"ustar":
        return "tar"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(_FOREIGN) or is_archive(start):
        return "unsupported"
    if start[:2] == b"\0\0" and len(start) > 3 and start[2] in range(0x08, 0x0F) and 1 <= start[3] <= 8:
        return "idx"
    if images.looks_like_image(start[:12]) and (b"\0" in start or start[:1] == b"P"):
        return "image"
    if audio.looks_like_audio(start[:12]) and b"\0" in start:
        return "audio"
    bare = start.removeprefix(_UNICODE_MARKS[0]).lstrip()
    if bare[:1] == b"{":
        return "json"
    if bare[:1] == b"[" and bare[1:].lstrip()[:1] == b"{":
        return "json list"
    return "text" if start.startswith(_UNICODE_MARKS) or b"\0" not in start else "binary"
