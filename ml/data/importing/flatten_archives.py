"""Unpacks archives within archives into one flat zip.

Inner ones are zips, tars and compressed files. The files of an inner archive are then in a folder of its name, so that
`train.zip` is a split and `cats.zip` a class. All that is unpacked counts towards one limit, whatever the nesting.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ml.data.files.archives import iterate_members, list_members
from ml.data.files.upload import UploadedFile
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ml.data.files.archives import Member
    from ml.data.limits import Limits

#: Archives within each other that are unpacked; those further inside are reported as nested.
MAX_NESTING: Final = 3
#: Names of archives and of compressed files; the group is the name without that.
ARCHIVE_NAME: Final = re.compile(r"(.+?)\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz)|gz|bz2|xz)", re.IGNORECASE)
_BLOCK_BYTES: Final = 1 << 20


def has_nested_archives(source: UploadedFile) -> bool:
    """Return whether names in an archive are those of archives or compressed files."""
    return any(ARCHIVE_NAME.fullmatch(name) for name in source.member_names)


def flatten(source: UploadedFile, folder: Path, issues: IssueLog, limits: Limits) -> UploadedFile:
    """Return a zip, in a new `folder`, of all files of nested archives.

    Raises `DataRejected` if an archive is damaged, or if all of them unpack to more than the limits allow.
    """
    folder.mkdir()
    path = folder / "flat.zip"
    budget = min(limits.max_total_bytes, max(limits.max_unchecked_bytes, source.path.stat().st_size * limits.max_ratio))
    with zipfile.ZipFile(path, "w") as flat:
        _Flattener(flat, folder, issues, limits, budget).add(source, (), nesting=0)
    return replace(source, path=path)


@dataclass
class _Flattener:
    """Writes the files of nested archives into one, `budget` bytes at most."""

    flat: zipfile.ZipFile
    folder: Path
    issues: IssueLog
    limits: Limits
    budget: int

    def add(self, source: UploadedFile, above: tuple[str, ...], *, nesting: int) -> None:
        """Write the files of one archive below the folders `above`."""
        members = {member.file: member for member in list_members(source, self.issues, self.limits)}
        if len(self.flat.namelist()) + len(members) > self.limits.max_members:
            raise DataRejected("archive_too_many_files", expected=f"at most {self.limits.max_members:,} files")
        is_repeated = bool(above) and all(member.parts[0] == above[-1] for member in members.values())
        for member, read in iterate_members(source, IssueLog(max_samples=0), self.limits):
            if member.file not in members:
                continue
            parts = (*above, *(member.parts[1:] if is_repeated and len(member.parts) > 1 else member.parts))
            match = ARCHIVE_NAME.fullmatch(parts[-1])
            if match is None or nesting == MAX_NESTING:
                self._write(self._limit(read(), member), parts)
            else:
                self._add_inner(member, read, (*parts[:-1], match[1]), nesting + 1)

    def _add_inner(
        self, member: Member, read: Callable[[], Iterator[bytes]], parts: tuple[str, ...], nesting: int
    ) -> None:
        path = self.folder / str(nesting)
        with path.open("wb") as file:
            file.writelines(self._limit(read(), member))
        inner = UploadedFile(member.file, path)
        if inner.content in ("zip", "tar"):
            self.add(inner, parts, nesting=nesting)
        else:
            with inner.open(self.limits) as data:
                self._write(self._limit(iter(lambda: data.read(_BLOCK_BYTES), b""), member), parts)
        path.unlink()

    def _write(self, blocks: Iterator[bytes], parts: tuple[str, ...]) -> None:
        with self.flat.open("/".join(parts), "w", force_zip64=True) as target:
            target.writelines(blocks)

    def _limit(self, blocks: Iterator[bytes], member: Member) -> Iterator[bytes]:
        """Yield the blocks; raises `DataRejected` once all archives have unpacked to more than the budget."""
        for block in blocks:
            self.budget -= len(block)
            if self.budget < 0:
                actual = "archives within it unpack to far more than its size"
                raise DataRejected("archive_bomb", actual=actual, at=Location(file=member.file))
            yield block
