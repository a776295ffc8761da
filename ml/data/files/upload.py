"""Uploaded files: detection of their content from the first bytes, and decompression within limits."""

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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ml.data.limits import Limits

FileContent = Literal[
    "empty",
    "idx",
    "zip",
    "tar",
    "parquet",
    "arrow",
    "image",
    "audio",
    "json",
    "json list",
    "text",
    "damaged",
    "unsupported",
    "misnamed",
    "heic",
    "dicom",
    "binary",
]

_START_BYTES: Final = 512
#: First bytes of an Arrow file with an index at its end, and of a stream.
ARROW_FILE_MAGIC: Final = b"ARROW1\0\0"
ARROW_STREAM_MAGIC: Final = b"\xff\xff\xff\xff"
_ZIP_SUFFIX: Final = ".zip"
_MAX_LISTED_NAMES: Final = 10_000
#: A suffix of at most this many members of a large archive may mark a manifest, so all of these names are listed.
_RARE_SUFFIX_COUNT: Final = 100
_MAX_LISTED_BYTES: Final = 8 << 20
#: Members of an archive whose first bytes help to detect its format: suffixes, files of each, and bytes of a file.
_SNIFFED_SUFFIXES: Final = ("json", "xml", "txt", "csv")
_MAX_SNIFFED_FILES: Final = 8
_SNIFFED_BYTES: Final = 16 << 10
_TAR_MAGIC: Final = slice(257, 262)
_COMPRESSIONS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
#: 7-Zip, RAR, Zstandard, cabinet, LZ4.
_UNSUPPORTED: Final = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"MSCF", b"\x04\x22\x4d\x18")
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
#: Errors of the decompressors that mean a damaged file.
_DAMAGE: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
_SPLIT_WORDS: Final = {
    "train": "train",
    "training": "train",
    "trn": "train",
    # UCI repository: pendigits.tra and pendigits.tes.
    "tra": "train",
    "tes": "test",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "t10k": "test",
    "holdout": "test",
    "heldout": "test",
    # FLORES and WMT: newsdev2016, newstest2014.
    "devtest": "test",
    "newstest": "test",
    "newsdev": "validation",
    # FER2013, as Kaggle's leaderboards are called.
    "publictest": "validation",
    "privatetest": "test",
}
#: A split with a year or number, and words that say what the folder holds: train2017, test_images, labels-val,
#: train-clean-100.
_SPLIT_NAME: Final = re.compile(
    r"(?:(?:images?|imgs?|labels?|annotations?)[ _.-])?"
    rf"({'|'.join(_SPLIT_WORDS)})"
    r"(?:[ _.-]?(?:\d{1,4}|set|split|data|images?|imgs?|clean|other)){0,2}"
)


@dataclass(frozen=True)
class UploadedFile:
    """One uploaded file. `name` serves reports and detection; it never becomes a path."""

    name: str
    path: Path
    #: Split that the owner of the data chose; takes precedence over the file name.
    requested_split: str | None = None
    #: Path in the archive -> path that the member is read by, None to leave it out; None if all have their own.
    relocate: Callable[[str], str | None] | None = None

    @cached_property
    def compression(self) -> str | None:
        """Compression of the whole file: gzip, bzip2, xz or None."""
        start = self._start
        return next((name for magic, name in _COMPRESSIONS if start.startswith(magic)), None)

    @cached_property
    def content(self) -> FileContent:
        """Type of the content, detected from its first bytes after decompression, not from the name.

        Only the name of a zip must be true.
        """
        try:
            with self._decompress() as file:
                start = file.read(_START_BYTES)
        except _DAMAGE:
            return "damaged"
        content = _detect_content(start)
        # Gigabytes of noise would else be read as text, line by line.
        is_misnamed = self.name.lower().endswith(_ZIP_SUFFIX) and content in ("text", "binary")
        return "misnamed" if is_misnamed else content

    @cached_property
    def member_names(self) -> tuple[str, ...]:
        """Names in an archive, relocated, for detection only; never to be opened.

        A very large archive gives a random sample of its names, and all names with a rare suffix: one table may
        describe 100,000 images.
        """
        return tuple(path for name in self._written_names if (path := self._read_path(name)) is not None)

    def _read_path(self, name: str) -> str | None:
        return name if self.relocate is None else self.relocate(name)

    @cached_property
    def _written_names(self) -> tuple[str, ...]:
        try:
            if self.content == "zip" and self.compression is None:
                with zipfile.ZipFile(self.path) as archive:
                    return _sample_names(archive.namelist())
            if self.content == "tar":
                return tuple(itertools.islice(self._tar_names(), _MAX_LISTED_NAMES))
        except (*_DAMAGE, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError, struct.error):
            return ()
        return ()

    @cached_property
    def text_starts(self) -> Mapping[str, bytes]:
        """First bytes of texts by name, for detection only.

        They are those of a few members of each type, or of the file itself.
        """
        try:
            if self.content in ("text", "json", "json list"):
                with self._decompress() as file:
                    return {self.name: file.read(_SNIFFED_BYTES)}
            starts = self._member_starts(self._sniffed_names())
            return {path: start for name, start in starts if (path := self._read_path(name)) is not None}
        except (*_DAMAGE, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError, RuntimeError):
            return {}

    def _sniffed_names(self) -> set[str]:
        names: set[str] = set()
        for suffix in _SNIFFED_SUFFIXES:
            names.update(sorted(name for name in self._written_names if _suffix(name) == suffix)[:_MAX_SNIFFED_FILES])
        return names

    def _member_starts(self, names: set[str]) -> Iterator[tuple[str, bytes]]:
        if self.content == "zip" and self.compression is None:
            with zipfile.ZipFile(self.path) as archive:
                for name in sorted(names):
                    with archive.open(name) as file:
                        yield name, file.read(_SNIFFED_BYTES)
        elif self.content == "tar" and names:
            yield from self._tar_starts(names)

    def _tar_starts(self, names: set[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the starts of members that are in the first bytes of a tar."""
        with self._decompress() as whole:
            start = io.BytesIO(whole.read(_MAX_LISTED_BYTES))
        try:
            with tarfile.open(fileobj=start, mode="r:") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.name in names and member.isfile() else None
                    if file is not None:
                        yield member.name, file.read(_SNIFFED_BYTES)
        except tarfile.TarError:
            return

    def _tar_names(self) -> Iterator[str]:
        """Yield the names in the first bytes of a tar.

        Later ones are left out: skipping a member means to decompress all of it.
        """
        with self._decompress() as file:
            start = io.BytesIO(file.read(_MAX_LISTED_BYTES))
        try:
            with tarfile.open(fileobj=start, mode="r:") as archive:
                for member in archive:
                    yield member.name
        except tarfile.TarError:
            return

    @property
    def split(self) -> str | None:
        """Split that the owner chose, or else the one in the file name."""
        return self.requested_split or find_split(self.name)

    def open(self, limits: Limits) -> IO[bytes]:
        """Open the decompressed content.

        Reading raises `DataRejected` if the file is damaged or decompresses to more than the limits allow.
        """
        return io.BufferedReader(_LimitedReader(self, limits), buffer_size=1 << 17)

    @cached_property
    def _start(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(_START_BYTES)

    def _decompress(self) -> IO[bytes]:
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
    """Member of an archive, in memory; `path` is that of the archive."""

    data: bytes = b""

    @cached_property
    def compression(self) -> str | None:
        """None: compressed files within an archive are not read."""
        return None

    def _decompress(self) -> IO[bytes]:
        return io.BytesIO(self.data)


class _LimitedReader(io.RawIOBase):
    """Enforces the limits on decompressed bytes, and turns errors of the decompressor into `DataRejected`."""

    def __init__(self, source: UploadedFile, limits: Limits) -> None:
        self._source = source
        self._file = source._decompress()
        self._max_bytes = limits.max_total_bytes
        if source.compression:
            size = source.path.stat().st_size
            self._max_bytes = min(self._max_bytes, max(limits.max_unchecked_bytes, size * limits.max_ratio))
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the typeshed's Buffer is 3.12's
        try:
            data = self._file.read(len(buffer))
        except _DAMAGE as error:
            raise DataRejected("damaged_file", actual=error, at=Location(file=self._source.name)) from error
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise DataRejected(
                "archive_bomb" if self._source.compression else "file_too_large",
                actual=f"more than {self._max_bytes:,} bytes decompressed",
                expected=f"at most {self._max_bytes:,} bytes",
                at=Location(file=self._source.name),
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def find_split(name: str) -> str | None:
    """Return the split that occurs in a file or folder name.

    None if the words of the name contain no split or several.
    """
    splits = {_SPLIT_WORDS[word] for word in re.findall(r"[a-z]+(?:\d+k)?", name.lower()) if word in _SPLIT_WORDS}
    return splits.pop() if len(splits) == 1 else None


def parse_split(name: str) -> str | None:
    """Return the split whose name or alias `name` is, or None.

    A year, a number or a word such as "images" may follow: `train2017`, `test_images`.
    """
    match = _SPLIT_NAME.fullmatch(name.strip().lower())
    return _SPLIT_WORDS[match[1]] if match else None


def folder_splits(files: Iterable[str]) -> dict[str, str | None]:
    """Return the split that the folders of each file name, or None.

    The first folder of a path that names a split decides. A folder around all of them is passed over if there is
    another below it.
    """
    named = {
        file: [(depth, split) for depth, folder in enumerate(file.split("/")[:-1]) if (split := parse_split(folder))]
        for file in files
    }
    paths = [set(pairs) for pairs in named.values() if pairs]
    shared = set.intersection(*paths) if paths else set()
    splits: dict[str, str | None] = {}
    for file, pairs in named.items():
        candidates = [pair for pair in pairs if pair not in shared] or pairs
        splits[file] = candidates[0][1] if candidates else None
    return splits


def _sample_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return all names, or of very many a sample and those with a rare suffix."""
    if len(names) <= _MAX_LISTED_NAMES:
        return tuple(names)
    counts = Counter(_suffix(name) for name in names)
    # A random sample, with a fixed seed: every second name may be an image where a text lies beside each.
    sample = set(random.Random(0).sample(range(len(names)), _MAX_LISTED_NAMES))
    chosen = (
        name for index, name in enumerate(names) if index in sample or counts[_suffix(name)] <= _RARE_SUFFIX_COUNT
    )
    return tuple(itertools.islice(chosen, 2 * _MAX_LISTED_NAMES))


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def is_archive(start: bytes) -> bool:
    """Return whether the first bytes are those of an archive or a compressed file."""
    compressions = tuple(magic for magic, _ in _COMPRESSIONS)
    return (
        start.startswith((b"PK\x03\x04", b"PK\x05\x06", *compressions, *_UNSUPPORTED)) or start[_TAR_MAGIC] == b"ustar"
    )


def _decode_start(start: bytes) -> bytes:
    """Return the start of a text in UTF-8 without its byte order mark."""
    if start.startswith(_BYTE_ORDER_MARKS[1:]):
        return start.decode("utf-16", "ignore").encode("utf-8", "ignore")
    return start.removeprefix(_BYTE_ORDER_MARKS[0])


def _detect_content(start: bytes) -> FileContent:
    if not start:
        return "empty"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[_TAR_MAGIC] == b"ustar":
        return "tar"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((ARROW_FILE_MAGIC, ARROW_STREAM_MAGIC)):
        return "arrow"
    if start.startswith(_UNSUPPORTED) or is_archive(start):
        return "unsupported"
    if start[:2] == b"\0\0" and len(start) > 3 and start[2] in range(0x08, 0x0F) and 1 <= start[3] <= 8:
        return "idx"
    if images.looks_like_image(start) and (b"\0" in start or start[:1] == b"P"):
        return "image"
    if audio.looks_like_audio(start[:12]) and b"\0" in start:
        return "audio"
    unsupported_image = images.find_unsupported(start)
    if unsupported_image is not None:
        return "heic" if unsupported_image == "image_heic" else "dicom"
    text = _decode_start(start).lstrip()
    if text[:1] == b"{":
        return "json"
    if text[:1] == b"[" and text[1:].lstrip()[:1] == b"{":
        return "json list"
    return "text" if start.startswith(_BYTE_ORDER_MARKS) or b"\0" not in start else "binary"
