"""Texts in folders that are named after their class, in a zip or tar: one file a text."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files.ignored import is_ignored
from ml.data.files.text import read_text
from ml.data.files.upload import parse_split
from ml.data.formats._class_folders import FolderFormat, Role
from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile

SUFFIXES: Final = (".txt", ".text")
SURE: Final = 2.0
WITHOUT_CLASS: Final = frozenset({"unsup", "unsupervised", "unlabelled", "unlabeled"})
"""Folders of texts that nobody has classified, as beside the classes of the well-known film reviews."""


class TextFolders(FolderFormat):
    """`[wrapper/][train|validation|test/]class/text.txt`."""

    name = "text_folders"
    summary = "Zip or tar of class folders of text files, with or without train, validation and test above them"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})
    column = "text"
    nothing = "archive_without_texts"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """Surely where text files lie in folders of several names; not where nobody asks for a label."""
        if wanted is not None and "label" not in wanted:
            return 0
        paths = [
            PurePosixPath(name)
            for source in sources
            if source.content in cls.accepted_content
            for name in source.member_names
        ]
        texts = [path for path in paths if path.suffix.lower() in SUFFIXES]
        classes = {path.parent.name for path in texts} - {""}
        classes = {name for name in classes if parse_split(name) is None}
        sure = 2 * len(texts) > sum(bool(path.suffix) for path in paths) and len(classes) > 1
        return super().detect(sources, wanted) * SURE if sure else 0

    def is_wanted(self, member: Member) -> bool:
        """Text files by their names, and files without an ending, but for notes on the data."""
        path = PurePosixPath(member.parts[-1])
        if path.suffix.lower() in SUFFIXES or (not path.suffix and not is_ignored(path.name)):
            return True
        self.issues.add("text_file_ignored", at=Location(file=member.file))
        return False

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, Role]:
        """Classes are the innermost folders; beside them may lie lists and notes, and texts that have no class."""
        inner = max((len(member.parts) for member in files), default=0)
        classified = []
        for member in files:
            if len(member.parts) < inner:
                self.issues.add("text_file_ignored", at=Location(file=member.file))
            elif inner > 1 and member.parts[-2].lower() in WITHOUT_CLASS:
                self.issues.add("texts_without_class", at=Location(file=member.file))
            else:
                classified.append(member)
        return super().roles(classified, source)

    def value(self, file: str, data: bytes) -> str:
        """The decoded text, with plain newlines."""
        return read_text(file, data, self.issues)
