"""Files of an upload, loose or in archives, and their replacement by others."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.archives import read_members
from ml.data.files.text import decode_text
from ml.data.files.upload import UploadedFile
from ml.data.issues import DataRejected, IssueLog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from ml.data.limits import Limits

#: Content of loose files that may be small texts.
_TEXT_CONTENT: Final = ("text", "json", "json list")


@dataclass(slots=True)
class CorpusFiles:
    """Files of an upload, which layouts replace by others."""

    sources: list[UploadedFile]
    #: Folder for new files.
    folder: Path
    issues: IssueLog
    limits: Limits

    @property
    def names(self) -> list[str]:
        """Names of all files, of those in archives behind that of the archive."""
        return [
            name
            for source in self.sources
            for name in (
                [f"{source.name}/{member}" for member in source.member_names if not member.endswith("/")]
                if source.content in ("zip", "tar")
                else [source.name]
            )
        ]

    def read_texts(self, names: Collection[str]) -> dict[str, str]:
        """Return texts by name; those that cannot be read are left out."""
        texts: dict[str, str] = {}
        for source in self.sources:
            if source.content in ("zip", "tar"):
                # Names of detection are as the archive writes them: `./train/a.txt`.
                contents = read_members(source, _clean(names), IssueLog(max_samples=0), self.limits)
                texts |= {name: decode_text(data)[0] for name, data in contents if not isinstance(data, DataRejected)}
            elif source.name in names and source.content in _TEXT_CONTENT:
                try:
                    with source.open(self.limits) as file:
                        texts[source.name] = decode_text(file.read())[0]
                except DataRejected:
                    continue
        return texts

    def remove(self, names: Collection[str]) -> None:
        """Leave out files."""
        hidden = _clean(names)
        remaining: list[UploadedFile] = []
        for source in self.sources:
            if source.content in ("zip", "tar"):
                remaining.append(_hide(source, hidden))
            elif source.name not in hidden:
                remaining.append(source)
        self.sources = remaining

    def add_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add a file of JSON lines."""
        path = self.folder / f"rows{len(list(self.folder.iterdir()))}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self.sources.append(UploadedFile(name, path))


def by_folder(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return folder -> name in it -> whole name."""
    folders: dict[str, dict[str, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        folders.setdefault(str(path.parent), {})[path.name] = name
    return folders


def _clean(names: Collection[str]) -> set[str]:
    return {"/".join(part for part in name.split("/") if part != ".") for name in names}


def _hide(source: UploadedFile, names: Collection[str]) -> UploadedFile:
    """Return an archive without some of its members."""
    prefix = f"{source.name}/"
    hidden = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    if not hidden:
        return source
    earlier = source.relocate

    def relocate(path: str) -> str | None:
        new_path = path if earlier is None else earlier(path)
        return None if new_path in hidden else new_path

    return replace(source, relocate=relocate)
