"""Archives that are but an envelope: tables and texts that would be read if they came by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ml.data.files.archives import members, save
from ml.data.files.ignored import is_ignored
from ml.data.files.upload import UploadedFile
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from pathlib import Path

    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

LETTERS: Final = frozenset({"text", "json", "json list", "parquet"})
"""Content that is as good in an archive as beside it."""


def unpack(source: UploadedFile, into: Path, findings: IssueLog, limits: Limits) -> list[UploadedFile]:
    """The files of an archive as if each had been sent, written to `into`, a folder that is made.

    None where it holds no such file or cannot be read: whoever reads it as an archive says what is wrong.
    """
    try:
        listed = members(source, type(findings)(max_samples=0), limits)
        paths = {member.file: into / str(number) for number, member in enumerate(listed) if not is_ignored(member.file)}
        into.mkdir()
        save(source, paths, limits)
    except DataRejected:
        return []
    found = [UploadedFile(file, path, asked_split=source.asked_split) for file, path in paths.items()]
    letters = [each for each in found if each.packing is None and each.content in LETTERS]
    if letters:
        members(source, findings, limits)
        for each in found:
            if each not in letters:
                code = "archive_nested" if each.packing else "file_ignored"
                findings.add(code, at=Location(file=each.name), found=each.content)
    return letters
