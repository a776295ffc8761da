"""Reads README and LICENSE files beside uploaded data."""

from __future__ import annotations

import itertools
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from ml.licenses import MAX_READ_BYTES, is_license_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Members of a tar that are looked at: it has no list of them, so that each has to be passed.
_MAX_TAR_MEMBERS: Final = 1_000
_MAX_FILES: Final = 20
#: Errors of damaged archives, which the import reports by itself.
_DAMAGE: Final = (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zlib.error)
_DAMAGED_ARCHIVES: Final = (*_DAMAGE, zipfile.BadZipFile, tarfile.TarError)


def read_notes(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return the beginnings of README and LICENSE files, loose or in archives, by name."""
    files: dict[str, bytes] = {}
    for path in paths:
        try:
            if is_license_file(path.name):
                with path.open("rb") as file:
                    files[path.name] = file.read(MAX_READ_BYTES)
            elif zipfile.is_zipfile(path):
                files.update(_read_zip(path))
            elif ".tar" in path.suffixes or path.suffix in (".tgz", ".tbz2", ".txz"):
                files.update(_read_tar(path))
        except _DAMAGED_ARCHIVES:
            continue
    return files


def _read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if is_license_file(name)][:_MAX_FILES]
        contents = {}
        for name in names:
            with archive.open(name) as member:
                contents[name] = member.read(MAX_READ_BYTES)
    return contents


def _read_tar(path: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in itertools.islice(archive, _MAX_TAR_MEMBERS):
            if member.isfile() and is_license_file(member.name.removeprefix("./")) and len(contents) < _MAX_FILES:
                file = archive.extractfile(member)
                contents[member.name] = file.read(MAX_READ_BYTES) if file else b""
    return contents
