"""Unpacks archives of tables and texts, to read these like direct uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ml.data.files.archives import extract_members, list_members
from ml.data.files.ignored import is_ignored
from ml.data.files.upload import UploadedFile
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from pathlib import Path

    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

#: Content that formats read both inside and outside an archive.
READABLE_CONTENT: Final = frozenset({"text", "json", "json list", "parquet", "arrow"})


def unpack(source: UploadedFile, into: Path, issues: IssueLog, limits: Limits) -> list[UploadedFile]:
    """Extract the tables and texts of an archive to a new folder.

    Its other files are reported. The result is empty if it has none or cannot be read; the format that reads it as an
    archive then reports why.
    """
    try:
        members = list_members(source, type(issues)(max_samples=0), limits)
        notes = [member.file for member in members if is_ignored(member.file)]
        names = [member.file for member in members if member.file not in notes]
        paths = {name: into / str(number) for number, name in enumerate(names)}
        into.mkdir()
        extract_members(source, paths, limits)
    except DataRejected:
        return []
    files = [UploadedFile(name, path, requested_split=source.requested_split) for name, path in paths.items()]
    readable = [file for file in files if file.compression is None and file.content in READABLE_CONTENT]
    if readable:
        list_members(source, issues, limits)
        for note in notes:
            issues.add("file_beside_data", at=Location(file=note))
        for file in files:
            if file not in readable:
                code = "archive_nested" if file.compression else "file_ignored"
                issues.add(code, at=Location(file=file.name), actual=file.content)
    return readable
