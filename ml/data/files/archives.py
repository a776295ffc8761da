"""Safe reading of zip and tar archives as lists of regular files.

Links, devices and encrypted members are never read, and files are written only to paths that the caller chooses. Names
serve as labels, never as paths; an unsafe one like `../x` is an error all the same, since it suggests an attack.
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
from pathlib import PurePosixPath
from tarfile import (  # type: ignore[attr-defined]  # typeshed leaves two of them out
    InvalidHeaderError,
    ReadError,
    TruncatedHeaderError,
)
from typing import IO, TYPE_CHECKING, Final, Self

from ml.data.files.images import UNSUPPORTED_SUFFIXES
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
class _CharacterSet:
    """Encoding of the common characters of a script, and its superset with all characters."""

    common: str
    full: str


_SYSTEM_FILES: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db"})
_DRIVE: Final = re.compile(r"^[A-Za-z]:")
_MAX_NAME_CHARACTERS: Final = 1_000
_BLOCK_BYTES: Final = 1 << 20
UTF_8_FLAG: Final = 0x800
#: Encoding of names in zip archives that set no UTF-8 flag, by the specification.
LEGACY_ENCODING: Final = "cp437"
#: Chinese is detected by its common characters: accents of the legacy encoding decode to rare ones as well.
CHINESE_ENCODINGS: Final = {
    "gb18030": _CharacterSet("gb2312", "gb18030"),
    "big5": _CharacterSet("big5", "big5hkscs"),
}
#: Errors of `zipfile` that mean a damaged archive.
_ZIP_DAMAGE: Final = (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, struct.error, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file of an archive."""

    #: Path for reports: `archive.zip/folder/name`.
    file: str
    #: Folders and name inside the archive.
    parts: tuple[str, ...]
    #: Bytes, decompressed, as the archive declares them.
    size: int


#: A member, and a function that reads its bytes in blocks: at most the declared size and one more.
MemberReader = tuple[Member, "Callable[[], Iterator[bytes]]"]


def list_members(source: UploadedFile, issues: IssueLog, limits: Limits) -> list[Member]:
    """List the regular files with valid names; everything else is reported.

    The files of a zip are sorted by name, those of a tar are in archive order. Images that are not
    read, such as DICOM, are reported as well.
    Raises `DataRejected` if the archive as a whole cannot be read.
    """
    members = []
    for member, _ in iterate_members(source, issues, limits):
        code = UNSUPPORTED_SUFFIXES.get(PurePosixPath(member.file).suffix.lower())
        if code is None:
            members.append(member)
        else:
            issues.add(code, at=Location(file=member.file), rows=1)
    return members


def read_members(
    source: UploadedFile, selection: Container[str], issues: IssueLog, limits: Limits
) -> Iterator[tuple[str, bytes | DataRejected]]:
    """Yield `Member.file` and the bytes of the selected members.

    A member that cannot be read has its rejection instead of bytes.
    Issues of the archive are not reported again: call `list_members` first.
    """
    ignored_issues = type(issues)(max_samples=0)
    try:
        for member, read in iterate_members(source, ignored_issues, limits):
            if member.file in selection:
                yield member.file, _read_content(member, read, limits)
    except DataRejected:
        return  # `list_members` raised the same


def extract_members(source: UploadedFile, paths: Mapping[str, Path], limits: Limits) -> None:
    """Write members, by `Member.file`, to paths that the caller chooses, whatever their size.

    Issues of the archive are not reported again: call `list_members` first. Raises `DataRejected` if a member is
    damaged, and `FileExistsError` if a path exists.
    """
    ignored_issues = IssueLog(max_samples=0)
    for member, read in iterate_members(source, ignored_issues, limits):
        if member.file not in paths:
            continue
        written = 0
        with paths[member.file].open("xb") as file:
            try:
                for block in read():
                    written += file.write(block)
            except DataRejected as rejection:
                rejection.at = rejection.at or Location(file=member.file)
                raise
        if written != member.size:
            actual, expected = f"{written:,} bytes", f"{member.size:,} bytes"
            raise DataRejected("damaged_file", actual=actual, expected=expected, at=Location(file=member.file))


def _read_content(member: Member, read: Callable[[], Iterator[bytes]], limits: Limits) -> bytes | DataRejected:
    if member.size > limits.max_image_bytes:
        actual, expected = f"{member.size:,} bytes", f"at most {limits.max_image_bytes:,} bytes"
        return DataRejected("file_too_large", actual=actual, expected=expected)
    try:
        data = b"".join(read())
    except DataRejected as rejection:
        return rejection
    if len(data) != member.size:
        return DataRejected("damaged_file", actual=f"{len(data):,} bytes", expected=f"{member.size:,} bytes")
    return DataRejected("archive_nested") if is_archive(data[:512]) else data


class _NameCheck:
    """Checks member names, each against those before it."""

    def __init__(self, source: UploadedFile, issues: IssueLog, limits: Limits) -> None:
        self._source = source
        self._issues = issues
        self._limits = limits
        self._files: set[str] = set()
        self._folded: set[str] = set()
        self._count = 0

    def __call__(self, name: str, *, size: int) -> Member | None:
        """Return the member of this name; None for a system file or an invalid name.

        An invalid name is reported. Raises `DataRejected` beyond the limit on members.
        """
        self._count += 1
        name = unicodedata.normalize("NFC", name)
        if self._count > self._limits.max_members:
            raise DataRejected("archive_too_many_files", expected=f"at most {self._limits.max_members:,} files")
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        file = "/".join((self._source.name, *parts))
        code = self._check_name(name, parts)
        if code:
            self._issues.add(code, at=Location(file=f"{self._source.name}/{name}"))
            return None
        if any(part.startswith(".") or part.lower() in _SYSTEM_FILES for part in parts):
            return None
        if self._source.relocate is not None:
            path = self._source.relocate("/".join(parts))
            if path is None:
                return None
            parts = tuple(path.split("/"))
            file = "/".join((self._source.name, *parts))
        if file.casefold() in self._folded:
            self._issues.add("archive_names_differ_in_case", at=Location(file=file))
        self._files.add(file)
        self._folded.add(file.casefold())
        return Member(file, parts, size)

    def _check_name(self, name: str, parts: tuple[str, ...]) -> str | None:
        if not parts or ".." in parts or name[:1] in ("/", "\\") or _DRIVE.match(name):
            return "archive_unsafe_name"
        if len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
            return "archive_unsafe_name"
        if len(parts) - 1 > self._limits.max_depth:
            return "archive_too_deep"
        if "/".join((self._source.name, *parts)) in self._files:
            return "archive_duplicate_name"
        return None


def iterate_members(source: UploadedFile, issues: IssueLog, limits: Limits) -> Iterator[MemberReader]:
    """Yield the regular files with valid names, each with a function that reads it.

    It is called before the next file is taken. Raises `DataRejected` if the archive as a whole cannot be read.
    """
    iterate = _iterate_zip if source.content == "zip" else _iterate_tar
    return iterate(source, issues, limits, _NameCheck(source, issues, limits))


def _iterate_zip(source: UploadedFile, issues: IssueLog, limits: Limits, check: _NameCheck) -> Iterator[MemberReader]:
    _check_directory_size(source, limits)
    try:
        archive = zipfile.ZipFile(source.path)
    except _ZIP_DAMAGE as error:
        raise DataRejected("damaged_file", actual=error) from error
    with archive:
        infos = sorted(archive.infolist(), key=lambda info: natural_sort_key(info.filename))
        _check_total_size(infos, source, limits)
        encoding = _detect_name_encoding(infos)
        for info in infos:
            code = _check_zip_member(info)
            if code:
                issues.add(code, at=Location(file=f"{source.name}/{info.filename}"))
            elif not (name := _decode_name(info, encoding)).endswith("/"):
                member = check(name, size=info.file_size)
                if member:
                    yield member, _open_zip_member(archive, info)


def _open_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        try:
            with archive.open(info) as file:
                yield from _read_blocks(file, info.file_size)
        except _ZIP_DAMAGE as error:
            raise DataRejected("damaged_file", actual=error) from error
        except RuntimeError as error:
            raise DataRejected("archive_encrypted") from error

    return read


def _check_zip_member(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if info.flag_bits & 0x1:
        return "archive_encrypted"
    if stat.S_ISLNK(mode):
        return "archive_link"
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "archive_special_file"
    return None


def _detect_name_encoding(infos: list[zipfile.ZipInfo]) -> str:
    """Detect the encoding of the names without the UTF-8 flag.

    It is UTF-8, Chinese, or else the legacy encoding. It is Chinese if most of the names that are not ASCII decode to
    common Chinese characters.
    """
    unflagged = [
        info.orig_filename.encode(LEGACY_ENCODING, "replace") for info in infos if not info.flag_bits & UTF_8_FLAG
    ]
    names = [name for name in unflagged if not name.isascii()]
    if not names or all(_can_decode(name, "utf-8") for name in names):
        return "utf-8"
    characters = CHINESE_ENCODINGS.get(guess_encodings(b"\n".join(names))[0])
    if characters and 2 * sum(_can_decode(name, characters.common) for name in names) > len(names):
        return characters.full
    return LEGACY_ENCODING


def _can_decode(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeError:
        return False
    return True


def _decode_name(info: zipfile.ZipInfo, encoding: str) -> str:
    """Return the name of a member, in `encoding` unless it is flagged as UTF-8."""
    # `orig_filename` includes what follows a NUL, which `filename` hides.
    name = info.orig_filename
    if info.flag_bits & UTF_8_FLAG:
        return name
    try:
        return name.encode(LEGACY_ENCODING).decode(encoding)
    except UnicodeError:
        return name


def _check_directory_size(source: UploadedFile, limits: Limits) -> None:
    """Check the size of the central directory, which `zipfile` reads into memory."""
    size = source.path.stat().st_size
    with source.path.open("rb") as file:
        file.seek(max(0, size - 66_000))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 16:
        raise DataRejected("damaged_file", actual="no central directory at its end")
    directory_bytes = struct.unpack_from("<I", tail, end + 12)[0]
    zip64_end = tail.rfind(b"PK\x06\x06")
    if zip64_end >= 0 and len(tail) >= zip64_end + 48:
        directory_bytes = max(directory_bytes % 0xFFFFFFFF, struct.unpack_from("<Q", tail, zip64_end + 40)[0])
    if directory_bytes > limits.max_members * 300:
        raise DataRejected("archive_too_many_files", expected=f"at most {limits.max_members:,} files")


def _check_total_size(infos: list[zipfile.ZipInfo], source: UploadedFile, limits: Limits) -> None:
    """Reject a zip bomb by its declared sizes, beyond which nothing is read.

    Overlapping members count their bytes several times, so that their sum exceeds the size of the file.
    """
    compressed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    size = source.path.stat().st_size
    max_bytes = min(limits.max_total_bytes, max(limits.max_unchecked_bytes, size * limits.max_ratio))
    if compressed > size or unpacked > max_bytes:
        raise DataRejected(
            "archive_bomb", actual=f"{size:,} bytes unpack to {unpacked:,}", expected=f"at most {max_bytes:,} bytes"
        )


class _StrictTarInfo(tarfile.TarInfo):
    """Raises on a damaged header, which `tarfile` treats as the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except (InvalidHeaderError, TruncatedHeaderError) as error:
            raise ReadError(str(error)) from error


def _iterate_tar(source: UploadedFile, issues: IssueLog, limits: Limits, check: _NameCheck) -> Iterator[MemberReader]:
    with source.open(limits) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_StrictTarInfo) as archive:
                for info in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # otherwise it stores every header
                    code = _check_tar_member(info)
                    if code:
                        issues.add(code, at=Location(file=f"{source.name}/{info.name}"), actual=info.linkname or None)
                    elif not info.isdir():
                        member = check(info.name, size=info.size)
                        if member:
                            yield member, _open_tar_member(archive, info)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, OSError) as error:
            raise DataRejected("damaged_file", actual=error) from error


def _open_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        file = archive.extractfile(info)
        if file:
            yield from _read_blocks(file, info.size)

    return read


def _read_blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield a file of the declared size in blocks, one byte more if longer."""
    remaining = size + 1
    while remaining and (block := file.read(min(_BLOCK_BYTES, remaining))):
        remaining -= len(block)
        yield block


def _check_tar_member(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "archive_link"
    return None if info.isdir() or (info.isreg() and not info.issparse()) else "archive_special_file"
