"""Base class of formats with a folder per class, for images and for texts."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.archives import list_members, read_members
from ml.data.files.upload import parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import UploadedFile


#: What precedes the last separator of a name.
_NAME_PARTS: Final = re.compile(r".*[-_. ]")


@dataclass(frozen=True, slots=True)
class FolderRole:
    """Split and label of a file, by the folders it lies in."""

    split: str | None
    label: str | None


class FolderFormat(Format):
    """`[wrapper/][train|validation|test/]class/file` in a zip or tar. Files of a flat folder are unlabeled."""

    #: The canonical column of the files' contents.
    column: ClassVar[str]
    #: The issue code for an archive without such files.
    empty_code: ClassVar[str]

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one archive after another."""
        for source in self.sources:
            if source.content in ("zip", "tar"):
                yield from self._read_archive(source)

    @abstractmethod
    def is_row(self, member: Member) -> bool:
        """Return whether a file holds a row; an ignored file becomes an issue."""

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, FolderRole]:
        """Derive split and label of each file from its folders.

        Folders at the top that all files share are ignored.
        """
        folders = [member.parts[:-1] for member in files]
        depth = shared_depth(folders)
        inner_folders = [folder[depth:] for folder in folders]
        prefix = _shared_prefix(inner_folders)
        has_split_folders = bool(prefix) or _has_split_folders(inner_folders)
        has_splits_below = not has_split_folders and _has_splits_below(inner_folders)
        roles = {}
        for member, inner in zip(files, inner_folders, strict=True):
            split = parse_split(inner[0].removeprefix(prefix)) if has_split_folders and inner else None
            if has_split_folders and split is None:
                self.issues.add("folder_outside_splits", at=Location(file=member.file), rows=1)
                continue
            if has_splits_below:
                split, inner = parse_split(inner[1]), (inner[0], *inner[2:])
            elif split:
                inner = inner[1:]
            if len(inner) > 1:
                self.issues.add("folders_nested", at=Location(file=member.file), actual="/".join(inner))
            label = inner[0] if inner else None
            roles[member.file] = FolderRole(source.requested_split or split or source.split, label)
        return roles

    def passes(self, roles: Mapping[str, FolderRole]) -> list[Mapping[str, FolderRole]]:
        """Divide the files of an archive into parts that are read one after another."""
        return [roles]

    def decode(self, file: str, data: bytes) -> Any:
        """Convert a file's content to what the column type accepts.

        Raises `DataRejected` if it is invalid.
        """
        return data

    def batches(
        self, files: Iterator[tuple[str, bytes | DataRejected]], roles: Mapping[str, FolderRole]
    ) -> Iterator[Batch]:
        """Group consecutive files of one split into batches."""
        names: list[str] = []
        values: list[Any] = []
        split: str | None = None
        byte_count = 0
        for file, data in files:
            try:
                if isinstance(data, DataRejected):
                    raise data
                value = self.decode(file, data)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file), rows=1)
                continue
            is_full = len(names) >= ROWS_PER_BATCH or byte_count >= BYTES_PER_BATCH
            if names and (is_full or roles[file].split != split):
                yield self._batch(names, values, roles, split)
                names, values, byte_count = [], [], 0
            split = roles[file].split
            byte_count += len(data)
            names.append(file)
            values.append(value)
        if names:
            yield self._batch(names, values, roles, split)

    def _read_archive(self, source: UploadedFile) -> Iterator[Batch]:
        try:
            members = list_members(source, self.issues, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return
        files = [member for member in members if self.is_row(member)]
        if not files:
            actual = members[0].file if members else "nothing to read"
            self.issues.add(self.empty_code, at=Location(file=source.name), actual=actual)
        roles = self.roles(files, source)
        for part in self.passes(roles):
            yield from self.batches(read_members(source, part, self.issues, self.limits), roles)

    def _batch(self, names: list[str], values: list[Any], roles: Mapping[str, FolderRole], split: str | None) -> Batch:
        labels = [roles[name].label or "" for name in names]
        return Batch({self.column: values, "label": labels}, Locations(names), split)


def _shared_prefix(folders: Sequence[tuple[str, ...]]) -> str:
    """Return what the names of top folders share before a split: `20news-bydate-`.

    It is empty unless all of them are splits behind it.
    """
    names = {folder[0] if folder else "" for folder in folders}
    prefixes = {match[0] if (match := _NAME_PARTS.match(name)) else "" for name in names}
    prefix = next(iter(prefixes)) if len(prefixes) == 1 < len(names) else ""
    return prefix if all(parse_split(name.removeprefix(prefix)) for name in names) else ""


def _has_split_folders(folders: Sequence[tuple[str, ...]]) -> bool:
    """Return whether the top folders are splits.

    A single one of that name beside other folders, with files but no folders in it, is a class.
    """
    top_folders = {folder[0] for folder in folders if folder}
    split_folders = {folder for folder in top_folders if parse_split(folder)}
    is_class = len(split_folders) == 1 < len(top_folders) and all(len(folder) == 1 for folder in folders)
    return bool(split_folders) and not is_class


def _has_splits_below(folders: Sequence[tuple[str, ...]]) -> bool:
    """Return whether every class folder is divided into split folders."""
    return bool(folders) and all(len(folder) > 1 and parse_split(folder[1]) for folder in folders)


def shared_depth(folders: Sequence[tuple[str, ...]]) -> int:
    """Count the top folders that all files share.

    A folder named like a split is not counted.
    """
    depth = 0
    while folders and all(len(folder) > depth for folder in folders):
        names = {folder[depth] for folder in folders}
        if len(names) > 1 or parse_split(next(iter(names))):
            break
        depth += 1
    return depth
