"""Pictures in folders that are named after their class, in a zip or tar; or pictures alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from ml.data.files import images
from ml.data.files.natural_sort import natural_sort_key
from ml.data.formats._class_folders import FolderFormat, Role
from ml.data.formats.base import UNLIKELY
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch


class ClassFolders(FolderFormat):
    """`[wrapper/][train|validation|test/]class/picture`. A flat folder of pictures is unlabelled."""

    name = "class_folders"
    summary = "Zip or tar of class folders, with or without train, validation and test above them; or pictures alone"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image"})
    column = "image"
    nothing = "archive_without_pictures"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """An archive without a picture is hardly one; but whose else should it be?"""
        archives = [source for source in sources if source.content in ("zip", "tar")]
        names = [PurePosixPath(name).suffix.lower() for source in archives for name in source.member_names]
        pictures = not names or any(suffix in images.SUFFIXES for suffix in names)
        return super().detect(sources, wanted) * (1 if pictures else UNLIKELY)

    def read(self) -> Iterator[Batch]:
        """Archive by archive, then the loose pictures."""
        yield from super().read()
        loose = [source for source in self.sources if source.content == "image"]
        pictures = (
            (source.name, self._loose(source)) for source in sorted(loose, key=lambda one: natural_sort_key(one.name))
        )
        yield from self.batches(pictures, {source.name: Role(source.split, None) for source in loose})

    def is_wanted(self, member: Member) -> bool:
        """Whatever may be a picture."""
        suffix = PurePosixPath(member.parts[-1]).suffix.lower()
        if suffix in images.SUFFIXES or not suffix:
            return True
        nested = suffix in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
        self.issues.add("archive_nested" if nested else "file_ignored", at=Location(file=member.file))
        return False

    def _loose(self, source: UploadedFile) -> bytes | DataRejected:
        size = source.path.stat().st_size
        if size > self.limits.max_image_bytes:
            expected = f"at most {self.limits.max_image_bytes:,}"
            return DataRejected("file_too_large", actual=f"{size:,} bytes", expected=expected)
        return source.path.read_bytes()
