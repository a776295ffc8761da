"""Pictures in folders that are named after their class, in a zip or tar; or pictures alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data import images
from ml.data.archives import contents, members
from ml.data.findings import Place, Refused
from ml.data.formats.base import BYTES_A_BATCH, ROWS_A_BATCH, Batch, Format, Places
from ml.data.natural import natural_key
from ml.data.sources import split_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.archives import Member
    from ml.data.sources import Content, Source


WITHOUT_PICTURES: Final = 0.1


@dataclass(frozen=True, slots=True)
class Role:
    """What its folders say of a picture."""

    split: str | None
    label: str | None


class ClassFolders(Format):
    """`[wrapper/][train|validation|test/]class/picture`. A flat folder of pictures is unlabelled."""

    name = "class_folders"
    summary = "Zip or tar of class folders, with or without train, validation and test above them; or pictures alone"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    reads: ClassVar[frozenset[Content]] = frozenset({"zip", "tar", "image"})

    @classmethod
    def detect(cls, sources: Sequence[Source], wanted: Mapping[str, str] | None) -> float:
        """An archive without a picture is hardly one; but whose else should it be?"""
        archives = [source for source in sources if source.content in ("zip", "tar")]
        names = [PurePosixPath(name).suffix.lower() for source in archives for name in source.member_names]
        pictures = not names or any(suffix in images.SUFFIXES for suffix in names)
        return super().detect(sources, wanted) * (1 if pictures else WITHOUT_PICTURES)

    def read(self) -> Iterator[Batch]:
        """Archive by archive, then the loose pictures."""
        for source in self.sources:
            if source.content != "image":
                yield from self._read_archive(source)
        loose = [source for source in self.sources if source.content == "image"]
        pictures = (
            (source.name, self._loose(source)) for source in sorted(loose, key=lambda one: natural_key(one.name))
        )
        yield from self._batches(pictures, {source.name: Role(source.split, None) for source in loose})

    def _read_archive(self, source: Source) -> Iterator[Batch]:
        try:
            listed = members(source, self.findings, self.limits)
        except Refused as refused:
            self.findings.record(refused, at=Place(file=source.name))
            return
        pictures = [member for member in listed if self._is_picture(member)]
        if listed and not pictures:
            self.findings.add("archive_without_pictures", at=Place(file=source.name), found=listed[0].file)
        elif not listed:
            self.findings.add("archive_without_pictures", at=Place(file=source.name), found="nothing to read")
        roles = self._roles(pictures, source)
        yield from self._batches(contents(source, roles, self.findings, self.limits), roles)

    def _is_picture(self, member: Member) -> bool:
        suffix = PurePosixPath(member.parts[-1]).suffix.lower()
        if suffix in images.SUFFIXES or not suffix:
            return True
        nested = suffix in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
        self.findings.add("archive_nested" if nested else "file_ignored", at=Place(file=member.file))
        return False

    def _roles(self, pictures: Sequence[Member], source: Source) -> dict[str, Role]:
        """What each picture is, once the folders that all share are taken off."""
        folders = [member.parts[:-1] for member in pictures]
        depth = _shared_depth(folders)
        firsts = {folder[depth] for folder in folders if len(folder) > depth}
        split_level = bool(firsts) and any(split_named(first) for first in firsts)
        roles = {}
        for member, folder in zip(pictures, folders, strict=True):
            rest = folder[depth:]
            split = split_named(rest[0]) if split_level and rest else None
            if split_level and split is None:
                self.findings.add("folder_outside_splits", at=Place(file=member.file), rows=1)
                continue
            rest = rest[1:] if split else rest
            if len(rest) > 1:
                self.findings.add("folders_nested", at=Place(file=member.file), found="/".join(rest))
            roles[member.file] = Role(source.asked_split or split or source.split, rest[0] if rest else None)
        return roles

    def _loose(self, source: Source) -> bytes | Refused:
        size = source.path.stat().st_size
        if size > self.limits.max_picture_bytes:
            expected = f"at most {self.limits.max_picture_bytes:,}"
            return Refused("file_too_large", found=f"{size:,} bytes", expected=expected)
        return source.path.read_bytes()

    def _batches(self, pictures: Iterator[tuple[str, bytes | Refused]], roles: Mapping[str, Role]) -> Iterator[Batch]:
        """As many pictures of one split as are worth a batch."""
        files: list[str] = []
        encoded: list[bytes] = []
        split: str | None = None
        weight = 0
        for file, data in pictures:
            if isinstance(data, Refused):
                self.findings.record(data, at=Place(file=file), rows=1)
                continue
            full = len(files) >= ROWS_A_BATCH or weight >= BYTES_A_BATCH
            if files and (full or roles[file].split != split):
                yield _batch(files, encoded, roles, split)
                files, encoded, weight = [], [], 0
            split = roles[file].split
            weight += len(data)
            files.append(file)
            encoded.append(data)
        if files:
            yield _batch(files, encoded, roles, split)


def _batch(files: list[str], encoded: list[bytes], roles: Mapping[str, Role], split: str | None) -> Batch:
    labels = [roles[file].label or "" for file in files]
    return Batch({"image": encoded, "label": labels}, Places(files), split)


def _shared_depth(folders: Sequence[tuple[str, ...]]) -> int:
    """How many folders at the top all pictures share; one that names a split is not passed over."""
    depth = 0
    while folders and all(len(folder) > depth for folder in folders):
        firsts = {folder[depth] for folder in folders}
        if len(firsts) > 1 or split_named(next(iter(firsts))):
            break
        depth += 1
    return depth
