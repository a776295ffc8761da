"""Texts in a folder per class, in a zip or tar, one file per text."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files import audio
from ml.data.files.ignored import is_ignored
from ml.data.files.text import read_text
from ml.data.files.upload import parse_split
from ml.data.formats._class_folders import FolderFormat, FolderRole
from ml.data.formats._markup import MARKUP_SUFFIXES, find_markup, strip_markup
from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile

SUFFIXES: Final = frozenset({".txt", ".text", *MARKUP_SUFFIXES})
#: Signs of an address that is the name of a file, as of WebKB's pages: `http:^^cs.cornell.edu^~ann^`.
_ADDRESS: Final = re.compile(r"[:^]")
#: Headers before a page, as a server sends them.
_HEADERS: Final = re.compile(r"(?:HTTP/[\d.]+ \d{3}[^\n]*\n)?(?:[A-Za-z][A-Za-z-]*:[^\n]*\n)+\s*(?=<)")
SURE: Final = 2.0
#: Folders of unclassified texts, as beside the classes of the IMDB movie reviews.
UNLABELED_FOLDERS: Final = frozenset({"unsup", "unsupervised", "unlabelled", "unlabeled"})


class TextFolders(FolderFormat):
    """`[wrapper/][train|validation|test/]class/text.txt`."""

    name = "text_folders"
    summary = "Zip or tar of class folders of text files, with or without train, validation and test above them"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})
    column = "text"
    empty_code = "archive_without_texts"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for text files in folders of several names.

        Returns 0 if the task needs no label.
        """
        if required is not None and "label" not in required:
            return 0
        archives = [source for source in sources if source.content in cls.accepted_content]
        paths = [PurePosixPath(name) for source in archives for name in source.member_names]
        names = [name for source in archives for name in source.member_names if not name.endswith("/")]
        bare = [PurePosixPath(name) for name in names if not _suffix_of(PurePosixPath(name)) and not is_ignored(name)]
        texts = [path for path in paths if path.suffix.lower() in SUFFIXES] or bare
        classes = {path.parent.name for path in texts} - {""}
        classes = {name for name in classes if parse_split(name) is None}
        if any(path.suffix.lower() in audio.SUFFIXES for path in paths):
            return 0  # transcripts
        is_sure = 2 * len(texts) > sum(bool(_suffix_of(path)) for path in paths) and len(classes) > 1
        return super().detect(sources, required) * SURE if is_sure else 0

    def is_row(self, member: Member) -> bool:
        """Return whether a file is a text, by its suffix.

        A file without suffix is one as well, unless it is a note on the data. Others become an issue.
        """
        path = PurePosixPath(member.parts[-1])
        if _suffix_of(path) in SUFFIXES or (not _suffix_of(path) and not is_ignored(path.name)):
            return True
        self.issues.add("text_file_ignored", at=Location(file=member.file))
        return False

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, FolderRole]:
        """Use the innermost folders as classes.

        Files above them, such as lists and notes, and texts in folders for unlabeled ones become issues.
        """
        max_depth = max((len(member.parts) for member in files), default=0)
        classified = []
        for member in files:
            if len(member.parts) < max_depth:
                self.issues.add("text_file_ignored", at=Location(file=member.file))
            elif max_depth > 1 and member.parts[-2].lower() in UNLABELED_FOLDERS:
                self.issues.add("texts_without_class", at=Location(file=member.file))
            else:
                classified.append(member)
        return super().roles(classified, source)

    def decode(self, file: str, data: bytes) -> str:
        """Return the decoded text with plain newlines and without markup.

        Raises `DataRejected` if it is no text.
        """
        text = read_text(file, data, self.issues)
        if (headers := _HEADERS.match(text)) and find_markup(text[headers.end() :]) is not None:
            text = text[headers.end() :]
        return "".join(strip_markup(text.splitlines(keepends=True), file, self.issues))


def _suffix_of(path: PurePosixPath) -> str:
    """Return the suffix of a file in lower case.

    An address has none, unless it is that of a text.
    """
    suffix = path.suffix.lower()
    return "" if _ADDRESS.search(path.name) and suffix not in SUFFIXES else suffix
