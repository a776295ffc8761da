"""Open Images: CSV with a box per row, and CSV with the class names.

https://storage.googleapis.com/openimages/web/download_v7.html.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.formats.objects._documents import DocumentFormat, ImageRecord, to_number
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

SIDES: Final = ("XMin", "YMin", "XMax", "YMax")
REQUIRED_COLUMNS: Final = frozenset({"ImageID", "LabelName", *SIDES})
#: Words in the name of the file with the names of the classes.
CLASS_FILE_WORDS: Final = ("class-descriptions", "class_descriptions")
CROWD: Final = "IsGroupOf"
#: Marks of a box that are not used.
MARKS: Final = ("IsOccluded", "IsTruncated", "IsDepiction", "IsInside")
#: Columns that are read, or counted as parts of objects.
USED_COLUMNS: Final = frozenset({*REQUIRED_COLUMNS, CROWD, *MARKS})
#: Value of a mark that is not known.
UNKNOWN: Final = "-1"


class OpenImages(DocumentFormat):
    """`train-annotations-bbox.csv`, `class-descriptions-boxable.csv`, and images named by their id."""

    name = "open_images"
    summary = "Open Images: zip or tar of images, the CSV of their boxes, and class-descriptions.csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether the header has the columns of Open Images."""
        header = start.partition(b"\n")[0].decode("utf-8-sig", "replace")
        return {name.strip() for name in header.split(",")} >= REQUIRED_COLUMNS

    def read_annotations(self, files: UploadFiles) -> dict[str, ImageAnnotation]:
        """Return the annotations by image, once the names of the classes are known."""
        self._class_names: dict[str, str] = {}
        for _, data in files.read_texts(file for file in files.with_suffix(".csv") if _names_classes(file)):
            rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
            self._class_names |= {row[0]: row[1] for row in rows if len(row) == 2}
        return super().read_annotations(files)

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the images of a file of boxes; another file becomes an issue."""
        if _names_classes(file):
            return
        if not self.recognize(data):
            self.issues.add("file_ignored", at=Location(file=file), expected=", ".join(sorted(REQUIRED_COLUMNS)))
            return
        objects: dict[str, list[dict[str, Any]]] = defaultdict(list)
        rows: dict[str, int] = {}
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
        for row, cells in enumerate(reader, start=1):
            image = (cells["ImageID"] or "").strip()
            rows.setdefault(image, row)
            at = Location(file=file, row=row)
            try:
                objects[image].append(self._to_object(cells, at, unused_parts))
            except DataRejected as rejection:
                self.issues.record(rejection, at=at, rows=1)
        for image, row in rows.items():
            yield ImageRecord([image], objects[image], Location(file=file, row=row))

    def _to_object(self, cells: Mapping[str, str | None], at: Location, unused_parts: UnusedParts) -> dict[str, Any]:
        """Return the object of a row; raises `DataRejected` for an invalid box."""
        for mark in MARKS:
            if cells.get(mark) == "1":
                unused_parts.add(mark)
        unused_parts.add_fields({name: cell for name, cell in cells.items() if cell != UNKNOWN}, USED_COLUMNS)
        label = (cells["LabelName"] or "").strip()
        annotated = {
            "label": self._class_names.get(label, label),
            "relative_box": [to_number(cells[side]) for side in SIDES],
        }
        if cells.get(CROWD) == "1":
            self.issues.add("objects_as_crowd", at=at, actual=CROWD)
            return {**annotated, "crowd": True}
        return annotated


def _names_classes(file: str) -> bool:
    name = PurePosixPath(file).name.lower()
    return any(word in name for word in CLASS_FILE_WORDS)
