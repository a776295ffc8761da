"""Files in folders that are named after their class, in a zip or tar: what formats of pictures and of texts share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ml.data.files.archives import list_members, read_members
from ml.data.files.upload import parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import UploadedFile


@dataclass(frozen=True, slots=True)
class Role:
    """What its folders say of a file."""

    split: str | None
    label: str | None


class FolderFormat(Format):
    """`[wrapper/][train|validation|test/]class/file`. Files of a flat folder are unlabelled."""

    column: ClassVar[str]
    """The canonical column that the files are."""
    nothing: ClassVar[str]
    """The finding where an archive has no such file."""

    def read(self) -> Iterator[Batch]:
        """Archive by archive."""
        for source in self.sources:
            if source.content in ("zip", "tar"):
                yield from self._read_archive(source)

    @abstractmethod
    def is_wanted(self, member: Member) -> bool:
        """Whether a file is to be read; what is ignored becomes a finding."""

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, Role]:
        """What each file is, once the folders that all share are taken off."""
        folders = [member.parts[:-1] for member in files]
        depth = shared_depth(folders)
        firsts = {folder[depth] for folder in folders if len(folder) > depth}
        split_level = bool(firsts) and any(parse_split(first) for first in firsts)
        roles = {}
        for member, folder in zip(files, folders, strict=True):
            rest = folder[depth:]
            split = parse_split(rest[0]) if split_level and rest else None
            if split_level and split is None:
                self.issues.add("folder_outside_splits", at=Location(file=member.file), rows=1)
                continue
            rest = rest[1:] if split else rest
            if len(rest) > 1:
                self.issues.add("folders_nested", at=Location(file=member.file), actual="/".join(rest))
            roles[member.file] = Role(source.requested_split or split or source.split, rest[0] if rest else None)
        return roles

    def value(self, file: str, data: bytes) -> Any:
        """A file's content as the column's kind takes it; raises `DataRejected` where it cannot be."""
        return data

    def batches(self, files: Iterator[tuple[str, bytes | DataRejected]], roles: Mapping[str, Role]) -> Iterator[Batch]:
        """As many files of one split as are worth a batch."""
        names: list[str] = []
        values: list[Any] = []
        split: str | None = None
        weight = 0
        for file, data in files:
            try:
                if isinstance(data, DataRejected):
                    raise data
                value = self.value(file, data)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=file), rows=1)
                continue
            full = len(names) >= ROWS_PER_BATCH or weight >= BYTES_PER_BATCH
            if names and (full or roles[file].split != split):
                yield self._batch(names, values, roles, split)
                names, values, weight = [], [], 0
            split = roles[file].split
            weight += len(data)
            names.append(file)
            values.append(value)
        if names:
            yield self._batch(names, values, roles, split)

    def _read_archive(self, source: UploadedFile) -> Iterator[Batch]:
        try:
            listed = list_members(source, self.issues, self.limits)
        except DataRejected as refused:
            self.issues.record(refused, at=Location(file=source.name))
            return
        wanted = [member for member in listed if self.is_wanted(member)]
        if not wanted:
            found = listed[0].file if listed else "nothing to read"
            self.issues.add(self.nothing, at=Location(file=source.name), actual=found)
        roles = self.roles(wanted, source)
        yield from self.batches(read_members(source, roles, self.issues, self.limits), roles)

    def _batch(self, names: list[str], values: list[Any], roles: Mapping[str, Role], split: str | None) -> Batch:
        labels = [roles[name].label or "" for name in names]
        return Batch({self.column: values, "label": labels}, Locations(names), split)


def shared_depth(folders: Sequence[tuple[str, ...]]) -> int:
    """How many folders at the top all files share; one that names a split is not passed over."""
    depth = 0
    while folders and all(len(folder) > depth for folder in folders):
        firsts = {folder[depth] for folder in folders}
        if len(firsts) > 1 or parse_split(next(iter(firsts))):
            break
        depth += 1
    return depth
