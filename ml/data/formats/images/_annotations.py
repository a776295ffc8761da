"""Pictures on which objects were drawn: what the formats of such annotations share.

An upload is one heap of files, however many archives it came in: people pack pictures and annotations apart.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ml.data.column_types.objects import AnnotatedObjects
from ml.data.files import images
from ml.data.files.archives import list_members, read_members
from ml.data.files.upload import parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """What is said of one picture: `objects` with a `box` in pixels, or with `shares` of the picture's sides."""

    objects: Sequence[Mapping[str, Any]]
    split: str | None
    size: tuple[int, int] | None = None
    """Width and height of the picture that was drawn on, where the annotation says so."""


class UploadFiles:
    """The files of an upload by name (`archive.zip/folder/name`), and who has them."""

    def __init__(self, sources: Sequence[UploadedFile], issues: IssueLog, limits: Limits) -> None:
        self._issues = issues
        self._limits = limits
        self._archives: list[UploadedFile] = []
        self._loose: dict[str, UploadedFile] = {}
        self._owner: dict[str, UploadedFile] = {}
        for source in sources:
            if source.content not in ("zip", "tar"):
                self._loose[source.name] = self._owner[source.name] = source
                continue
            try:
                listed = list_members(source, issues, limits)
            except DataRejected as refused:
                issues.record(refused, at=Location(file=source.name))
                continue
            self._archives.append(source)
            self._owner |= dict.fromkeys((member.file for member in listed), source)
        self.pictures = self.with_suffix(*images.SUFFIXES)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in self.pictures:
            self._by_name[PurePosixPath(file).name].append(file)
            self._by_name[PurePosixPath(file).stem].append(file)

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files whose names end so."""
        return [file for file in self._owner if PurePosixPath(file).suffix.lower() in suffixes]

    def split_of(self, file: str) -> str | None:
        """What its owner said of its archive; else a folder above it named like a split; else its archive's name."""
        source = self._owner[file]
        folders = PurePosixPath(file).parts[:-1]
        said = next((split for folder in folders if (split := parse_split(folder))), None)
        return source.requested_split or said or source.split

    def requested_split_of(self, file: str) -> str | None:
        """What its owner said of its archive."""
        return self._owner[file].requested_split

    def picture(self, name: str, *, near: str, elsewhere: Callable[[str], str] = lambda folder: folder) -> str | None:
        """The picture of this name, with or without folders and suffix, nearest to the annotation `near`.

        Of several: one in the same folder, or in the folder that `elsewhere` makes of it; else one of the same split.
        """
        parts = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).parts
        if not parts:
            return None
        found = self._by_name.get(parts[-1]) or self._by_name.get(PurePosixPath(parts[-1]).stem) or []
        fitting = [file for file in found if PurePosixPath(file).parts[-len(parts) : -1] == parts[:-1]] or found
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        folder = str(PurePosixPath(near).parent)
        for wanted in (folder, elsewhere(folder)):
            beside = [file for file in fitting if str(PurePosixPath(file).parent) == wanted]
            if beside:
                return beside[0]
        same = [file for file in fitting if self.split_of(file) == self.split_of(near)]
        return (same or fitting)[0]

    def texts(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Annotation files, one after the other; what cannot be read becomes a finding."""
        for file, data in self._contents(set(wanted)):
            if isinstance(data, DataRejected):
                self._issues.record(data, at=Location(file=file))
            else:
                yield file, data

    def batches(self, sheets: Mapping[str, ImageAnnotation]) -> Iterator[Batch]:
        """The pictures that sheets are about, with their objects, as many of one split as are worth a batch."""
        files: list[str] = []
        encoded: list[bytes] = []
        drawn: list[AnnotatedObjects] = []
        split: str | None = None
        weight = 0
        for file, data in self._contents(sheets.keys()):
            if isinstance(data, DataRejected):
                self._issues.record(data, at=Location(file=file), rows=1)
                continue
            sheet = sheets[file]
            if files and (sheet.split != split or len(files) >= ROWS_PER_BATCH or weight >= BYTES_PER_BATCH):
                yield Batch({"image": encoded, "objects": drawn}, Locations(files), split)
                files, encoded, drawn, weight = [], [], [], 0
            split = sheet.split
            weight += len(data)
            files.append(file)
            encoded.append(data)
            drawn.append(self._drawn(sheet, images.read_size(data), file))
        if files:
            yield Batch({"image": encoded, "objects": drawn}, Locations(files), split)

    def _contents(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes | DataRejected]]:
        names = set(wanted)
        for source in self._archives:
            yield from read_members(source, names, self._issues, self._limits)
        for name in sorted(names & self._loose.keys()):
            try:
                with self._loose[name].open(self._limits) as file:
                    yield name, file.read()
            except DataRejected as refused:
                yield name, refused

    def _drawn(self, sheet: ImageAnnotation, size: tuple[int, int] | None, file: str) -> AnnotatedObjects:
        if not sheet.objects:
            self._issues.add("picture_without_objects", at=Location(file=file))
        if size is None:
            # The picture itself is refused in a moment.
            return AnnotatedObjects(sheet.objects)
        if sheet.size is not None and sheet.size != size and all(sheet.size):
            found, expected = (f"{width} x {height}" for width, height in (size, sheet.size))
            self._issues.add("picture_size_differs", at=Location(file=file), actual=found, expected=expected)
        width, height = size
        objects = [
            {**each, "box": [share * side for share, side in zip(each["shares"], (width, height) * 2, strict=True)]}
            if "shares" in each
            else each
            for each in sheet.objects
        ]
        return AnnotatedObjects(objects, size)
