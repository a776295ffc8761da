"""Pascal VOC: for each picture an XML file, and lists of names that say what is trained and tested on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.upload import parse_split
from ml.data.files.xml import read_xml
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

SURE: Final = 2
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")


class Voc(Format):
    """`JPEGImages/`, `Annotations/<picture>.xml`, `ImageSets/Main/<split>.txt`; or XML beside each picture."""

    name = "voc"
    summary = "Pascal VOC in zip or tar: pictures, an XML file for each, and lists of names by split"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """XML in an archive is a sure sign: nothing else has any."""
        found = any(name.lower().endswith(".xml") for source in sources for name in source.member_names)
        return super().detect(sources, wanted) * SURE * found

    def read(self) -> Iterator[Batch]:
        """Picture by picture, those without annotation included."""
        heap = UploadFiles(self.sources, self.issues, self.limits)
        lists = self._lists(heap)
        sheets: dict[str, ImageAnnotation] = {}
        for file, data in heap.texts(heap.with_suffix(".xml")):
            at = Location(file=file)
            try:
                root = read_xml(data)
                picture = heap.picture(PurePosixPath(file).stem, near=file, elsewhere=_pictures_folder)
                picture = picture or heap.picture(root.findtext("filename") or "", near=file)
                if picture is None:
                    raise DataRejected("picture_missing", actual=root.findtext("filename") or PurePosixPath(file).stem)
                split = heap.requested_split_of(file) or lists.get(PurePosixPath(file).stem) or heap.split_of(file)
                sheets[picture] = ImageAnnotation([_object(each) for each in root.iter("object")], split, _size(root))
            except DataRejected as refused:
                self.issues.record(refused, at=at, rows=1)
        for picture in heap.pictures:
            if picture not in sheets and _is_mask(picture):
                self.issues.add("file_ignored", at=Location(file=picture), expected="a picture, and not its outlines")
                continue
            split = heap.requested_split_of(picture) or lists.get(PurePosixPath(picture).stem) or heap.split_of(picture)
            sheets.setdefault(picture, ImageAnnotation([], split))
        yield from heap.batches(sheets)

    def _lists(self, heap: UploadFiles) -> dict[str, str]:
        """Name of a picture -> the split whose list it is in."""
        lists: dict[str, str] = {}
        known = {PurePosixPath(picture).stem for picture in heap.pictures}
        wanted = [file for file in heap.with_suffix(".txt") if parse_split(PurePosixPath(file).stem)]
        for file, data in heap.texts(wanted):
            split = parse_split(PurePosixPath(file).stem)
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
                name = line.split()[0] if line.split() else ""
                if name and name not in known:
                    self.issues.add("picture_missing", at=Location(file=file, line=number), actual=name, rows=1)
                elif name and split:
                    lists[name] = split
        return lists


def _is_mask(picture: str) -> bool:
    """Whether it is a picture of outlines, `SegmentationClass/2007_000032.png`."""
    return PurePosixPath(picture).parent.name.startswith("Segmentation")


def _pictures_folder(folder: str) -> str:
    return str(PurePosixPath(folder).parent / "JPEGImages")


def _object(element: Element) -> dict[str, Any]:
    box = [element.findtext(f"bndbox/{corner}") for corner in CORNERS]
    return {"label": element.findtext("name"), "box": box}


def _size(root: Element) -> tuple[int, int] | None:
    sides = [root.findtext(f"size/{side}") or "" for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.strip().isdecimal() for side in sides) else None
