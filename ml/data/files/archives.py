"""Zip and tar as a list of plain files: nothing else is read, and nothing reaches the disk but where its reader says.

A name is a label. It is checked all the same, because an archive that holds one like `../x` was not packed by a friend.
"""

from __future__ import annotations

import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from tarfile import (  # type: ignore[attr-defined]  # typeshed leaves two of them out
    InvalidHeaderError,
    ReadError,
    TruncatedHeaderError,
)
from typing import IO, TYPE_CHECKING, Final, Self

from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import guess_encodings
from ml.data.files.upload import is_archive
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping
    from pathlib import Path
    from tarfile import TarFile

    from ml.data.files.upload import UploadedFile
    from ml.data.limits import Limits


@dataclass(frozen=True, slots=True)
class _Letters:
    """The encoding of the usual letters, and that of all."""

    usual: str
    whole: str


_JUNK: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db"})
_DRIVE: Final = re.compile(r"^[A-Za-z]:")
_LONGEST_NAME: Final = 1_000
_BLOCK_BYTES: Final = 1 << 20
UTF_8_FLAG: Final = 0x800
LEGACY_ENCODING: Final = "cp437"
CHINESE_ENCODINGS: Final = {"gb18030": _Letters("gb2312", "gb18030"), "big5": _Letters("big5", "big5hkscs")}
"""Accents of the old default make rare letters, too: what is Chinese is told by the usual ones."""
_ZIP_DAMAGE: Final = (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, struct.error, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """One plain file of an archive."""

    file: str
    """`archive.zip/folder/name`, for reports."""
    parts: tuple[str, ...]
    size: int


Opened = tuple[Member, "Callable[[], Iterator[bytes]]"]
"""A member, and what reads its bytes, block by block, never more than it says it has and one."""


def list_members(source: UploadedFile, issues: IssueLog, limits: Limits) -> list[Member]:
    """The plain files with good names, a zip's by name and a tar's as they come; all else is a finding.

    Raises `DataRejected` where the archive as a whole cannot be read.
    """
    return [member for member, _ in _opened(source, issues, limits)]


def read_members(
    source: UploadedFile, wanted: Container[str], issues: IssueLog, limits: Limits
) -> Iterator[tuple[str, bytes | DataRejected]]:
    """`Member.file` and its bytes, or why there are none, for those wanted. Assumes `list_members` has been heard."""
    unheard = type(issues)(max_samples=0)
    try:
        for member, read in _opened(source, unheard, limits):
            if member.file in wanted:
                yield member.file, _content(member, read, limits)
    except DataRejected:
        return  # `list_members` met and recorded the same


def extract_members(source: UploadedFile, wanted: Mapping[str, Path], limits: Limits) -> None:
    """Write the members of these `Member.file`s to paths of the caller's own choosing, however large they are.

    Assumes `list_members` has been heard. Raises `DataRejected` where one is damaged.
    """
    unheard = IssueLog(max_samples=0)
    for member, read in _opened(source, unheard, limits):
        if member.file not in wanted:
            continue
        written = 0
        with wanted[member.file].open("xb") as file:
            try:
                for block in read():
                    written += file.write(block)
            except DataRejected as refused:
                refused.at = refused.at or Location(file=member.file)
                raise
        if written != member.size:
            found, expected = f"{written:,} bytes", f"{member.size:,} bytes"
            raise DataRejected("damaged_file", actual=found, expected=expected, at=Location(file=member.file))


def _content(member: Member, read: Callable[[], Iterator[bytes]], limits: Limits) -> bytes | DataRejected:
    if member.size > limits.max_image_bytes:
        found, expected = f"{member.size:,} bytes", f"at most {limits.max_image_bytes:,}"
        return DataRejected("file_too_large", actual=found, expected=expected)
    try:
        data = b"".join(read())
    except DataRejected as refused:
        return refused
    if len(data) != member.size:
        return DataRejected("damaged_file", actual=f"{len(data):,} bytes", expected=f"{member.size:,} bytes")
    return DataRejected("archive_nested") if is_archive(data[:512]) else data


class _NameCheck:
    """Judges names one by one, knowing those before."""

    def __init__(self, source: UploadedFile, issues: IssueLog, limits: Limits) -> None:
        self._source = source
        self._issues = issues
        self._limits = limits
        self._seen: set[str] = set()
        self._folded: set[str] = set()
        self._count = 0

    def __call__(self, name: str, *, size: int) -> Member | None:
        """The member of this name; None where it is bad, which is recorded, or junk that systems leave behind."""
        self._count += 1
        name = unicodedata.normalize("NFC", name)
        if self._count > self._limits.max_members:
            raise DataRejected("archive_too_many_files", expected=f"at most {self._limits.max_members:,}")
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        file = "/".join((self._source.name, *parts))
        code = self._fault(name, parts)
        if code:
            self._issues.add(code, at=Location(file=f"{self._source.name}/{name}"))
            return None
        if any(part.startswith(".") or part.lower() in _JUNK for part in parts):
            return None
        if file.casefold() in self._folded:
            self._issues.add("archive_case_twins", at=Location(file=file))
        self._seen.add(file)
        self._folded.add(file.casefold())
        return Member(file, parts, size)

    def _fault(self, name: str, parts: tuple[str, ...]) -> str | None:
        if not parts or ".." in parts or name[:1] in ("/", "\\") or _DRIVE.match(name):
            return "archive_unsafe_name"
        if len(name) > _LONGEST_NAME or not all(letter.isprintable() for letter in name):
            return "archive_unsafe_name"
        if len(parts) - 1 > self._limits.max_depth:
            return "archive_too_deep"
        if "/".join((self._source.name, *parts)) in self._seen:
            return "archive_duplicate_name"
        return None


def _opened(source: UploadedFile, issues: IssueLog, limits: Limits) -> Iterator[Opened]:
    listing = _zip_members if source.content == "zip" else _tar_members
    return listing(source, issues, limits, _NameCheck(source, issues, limits))


def _zip_members(source: UploadedFile, issues: IssueLog, limits: Limits, check: _NameCheck) -> Iterator[Opened]:
    _check_directory_size(source, limits)
    try:
        archive = zipfile.ZipFile(source.path)
    except _ZIP_DAMAGE as error:
        raise DataRejected("damaged_file", actual=error) from error
    with archive:
        infos = sorted(archive.infolist(), key=lambda info: natural_sort_key(info.filename))
        _check_bomb(infos, source, limits)
        legacy = _legacy_encoding(infos)
        for info in infos:
            code = _zip_fault(info)
            if code:
                issues.add(code, at=Location(file=f"{source.name}/{info.filename}"))
            elif not (name := _zip_name(info, legacy)).endswith("/"):
                member = check(name, size=info.file_size)
                if member:
                    yield member, _zip_reader(archive, info)


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        try:
            with archive.open(info) as file:
                yield from _blocks(file, info.file_size)
        except _ZIP_DAMAGE as error:
            raise DataRejected("damaged_file", actual=error) from error
        except RuntimeError as error:
            raise DataRejected("archive_encrypted") from error

    return read


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if info.flag_bits & 0x1:
        return "archive_encrypted"
    if stat.S_ISLNK(mode):
        return "archive_link"
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "archive_special_file"
    return None


def _legacy_encoding(infos: list[zipfile.ZipInfo]) -> str:
    """What names are written in that do not say so: UTF-8, or Chinese as most of them are, else the old default."""
    old = [info.orig_filename.encode(LEGACY_ENCODING, "replace") for info in infos if not info.flag_bits & UTF_8_FLAG]
    strange = [name for name in old if not name.isascii()]
    if not strange or all(_is_of("utf-8", name) for name in strange):
        return "utf-8"
    likely = CHINESE_ENCODINGS.get(guess_encodings(b"\n".join(strange))[0])
    if likely and 2 * sum(_is_of(likely.usual, name) for name in strange) > len(strange):
        return likely.whole
    return LEGACY_ENCODING


def _is_of(encoding: str, name: bytes) -> bool:
    try:
        name.decode(encoding)
    except UnicodeError:
        return False
    return True


def _zip_name(info: zipfile.ZipInfo, legacy: str) -> str:
    """Some systems write their own encoding without saying so. `orig_filename` has what stands behind a NUL, too."""
    name = info.orig_filename
    if info.flag_bits & UTF_8_FLAG:
        return name
    try:
        return name.encode(LEGACY_ENCODING).decode(legacy)
    except UnicodeError:
        return name


def _check_directory_size(source: UploadedFile, limits: Limits) -> None:
    """The list of names is read whole when a zip is opened, so its size is looked at first."""
    size = source.path.stat().st_size
    with source.path.open("rb") as file:
        file.seek(max(0, size - 66_000))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 16:
        raise DataRejected("damaged_file", actual="no list of names at its end")
    bytes_of_names = struct.unpack_from("<I", tail, end + 12)[0]
    wide = tail.rfind(b"PK\x06\x06")
    if wide >= 0 and len(tail) >= wide + 48:
        bytes_of_names = max(bytes_of_names % 0xFFFFFFFF, struct.unpack_from("<Q", tail, wide + 40)[0])
    if bytes_of_names > limits.max_members * 300:
        raise DataRejected("archive_too_many_files", expected=f"at most {limits.max_members:,}")


def _check_bomb(infos: list[zipfile.ZipInfo], source: UploadedFile, limits: Limits) -> None:
    """Declared sizes bind, since nothing is read beyond them. Overlapping members count their bytes again and again."""
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    size = source.path.stat().st_size
    allowed = min(limits.max_total_bytes, max(limits.max_unchecked_bytes, size * limits.max_ratio))
    if packed > size or unpacked > allowed:
        raise DataRejected(
            "archive_bomb", actual=f"{size:,} bytes unpack to {unpacked:,}", expected=f"at most {allowed:,}"
        )


class _StrictTarInfo(tarfile.TarInfo):
    """`tarfile` takes a damaged header for the end of the archive, and the rest would silently be missing."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except (InvalidHeaderError, TruncatedHeaderError) as error:
            raise ReadError(str(error)) from error


def _tar_members(source: UploadedFile, issues: IssueLog, limits: Limits, check: _NameCheck) -> Iterator[Opened]:
    with source.open(limits) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_StrictTarInfo) as archive:
                for info in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # else every header is kept
                    code = _tar_fault(info)
                    if code:
                        issues.add(code, at=Location(file=f"{source.name}/{info.name}"), actual=info.linkname or None)
                    elif not info.isdir():
                        member = check(info.name, size=info.size)
                        if member:
                            yield member, _tar_reader(archive, info)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, OSError) as error:
            raise DataRejected("damaged_file", actual=error) from error


def _tar_reader(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        file = archive.extractfile(info)
        if file:
            yield from _blocks(file, info.size)

    return read


def _blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """All of a file, and a byte more where it has more than it says."""
    left = size + 1
    while left and (block := file.read(min(_BLOCK_BYTES, left))):
        left -= len(block)
        yield block


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "archive_link"
    return None if info.isdir() or (info.isreg() and not info.issparse()) else "archive_special_file"
