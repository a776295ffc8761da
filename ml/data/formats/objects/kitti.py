"""KITTI: a text file for each image, with an object per line in pixels.

A line holds the class, truncated, occluded, alpha, left, top, right, bottom, seven numbers of the box in space, and
perhaps a score. https://www.cvlibs.net/datasets/kitti/eval_object.php.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.formats.images._annotations import ImageAnnotation
from ml.data.formats.objects._documents import DocumentFormat, ImageRecord, to_number
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

_NUMBER: Final = rb"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_LINE: Final = re.compile(rb"\s*[A-Za-z][^\s,;]*(?:\s+" + _NUMBER + rb"){14,15}\s*(?:\r?\n|$)")
#: Columns of a line: class, three of the view, the box, seven in space; a score may follow.
CELLS: Final = (15, 16)
#: Names of the columns of the view.
VIEW: Final = ("truncated", "occluded", "alpha")
#: Values of columns that are not known.
UNKNOWN: Final = (0, -1, -10, -1000)
BOX_CELLS: Final = slice(4, 8)
#: Class of regions that are not judged, whatever is there.
IGNORED: Final = "DontCare"


class Kitti(DocumentFormat):
    """`image_2/000000.png` and `label_2/000000.txt`."""

    name = "kitti"
    summary = "KITTI: zip or tar of images and a text file of boxes for each (image_2, label_2)"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether the first line has a name and 14 or 15 numbers."""
        return _LINE.match(start) is not None

    def read_annotations(self, files: UploadFiles) -> dict[str, ImageAnnotation]:
        """Return the annotations, with regions to ignore as crowds of every class."""
        annotations = super().read_annotations(files)
        labels = {item["label"] for value in annotations.values() for item in value.objects} - {IGNORED}
        for image, value in annotations.items():
            objects = [item for item in value.objects if item["label"] != IGNORED]
            regions = [item["box"] for item in value.objects if item["label"] == IGNORED]
            crowds = [{"label": label, "box": box, "crowd": True} for box in regions for label in sorted(labels)]
            annotations[image] = ImageAnnotation([*objects, *crowds], value.split, value.size)
        return annotations

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the image of the file; a text without labels becomes an issue."""
        stem = PurePosixPath(file).stem
        folder = PurePosixPath(file).parent
        sibling = folder.parent / folder.name.replace("label", "image") / stem
        image = files.find_exactly(sibling.parts, near=file) or files.find_image(stem, near=file)
        lines = data.decode("utf-8-sig", "replace").splitlines()
        if image is None and not recognize_lines(lines):
            self.issues.add("file_ignored", at=Location(file=file), expected="labels of an image")
            return
        objects: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            cells = line.split()
            if not cells:
                continue
            at = Location(file=file, line=number)
            if len(cells) not in CELLS:
                expected = "class, truncated, occluded, alpha, four numbers of the box, seven in space"
                self.issues.add("annotation_invalid", at=at, actual=line, expected=expected, rows=1)
                continue
            try:
                box = [to_number(cell) for cell in cells[BOX_CELLS]]
            except DataRejected as rejection:
                self.issues.record(rejection, at=at, rows=1)
                continue
            if cells[0] == IGNORED:
                self.issues.add("objects_as_crowd", at=at, actual=IGNORED)
            columns = dict(zip((*VIEW, "score"), (*cells[1:4], *cells[15:]), strict=False))
            unused_parts.add_fields({name: cell for name, cell in columns.items() if _is_known(cell)})
            if cells[0] != IGNORED and any(map(_is_known, cells[8:15])):
                unused_parts.add("box in space")
            objects.append({"label": cells[0], "box": box})
        yield ImageRecord([image or stem], objects, Location(file=file))


def _is_known(cell: str) -> bool:
    """Return whether a cell has another value than those for unknown ones."""
    try:
        return float(cell) not in UNKNOWN
    except ValueError:
        return True


def recognize_lines(lines: list[str]) -> bool:
    """Return whether the first line is that of an object."""
    return bool(lines) and _LINE.match(lines[0].encode()) is not None
