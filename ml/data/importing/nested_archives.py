"""Archives that are but an envelope: tables and texts that would be read if they came by themselves."""

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

LETTERS: Final = frozenset({"text", "json", "json list", "parquet"})
"""Content that is as good in an archive as beside it."""


def unpack(source: UploadedFile, into: Path, issues: IssueLog, limits: Limits) -> list[UploadedFile]:
    """The files of an archive as if each had been sent, written to `into`, a folder that is made.

    None where it holds no such file or cannot be read: whoever reads it as an archive says what is wrong.
    """
    try:
        listed = list_members(source, type(issues)(max_samples=0), limits)
        paths = {member.file: into / str(number) for number, member in enumerate(listed) if not is_ignored(member.file)}
        into.mkdir()
        extract_members(source, paths, limits)
    except DataRejected:
        return []
    found = [UploadedFile(file, path, requested_split=source.requested_split) for file, path in paths.items()]
    letters = [each for each in found if each.compression is None and each.content in LETTERS]
    if letters:
        list_members(source, issues, limits)
        for each in found:
            if each not in letters:
                code = "archive_nested" if each.compression else "file_ignored"
                issues.add(code, at=Location(file=each.name), actual=each.content)
    return letters
