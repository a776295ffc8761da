"""Pascal VOC: an XML file per image, and lists of image names by split."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files import images
from ml.data.files.upload import parse_split
from ml.data.files.xml import read_xml
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles, add_annotation
from ml.data.formats.objects._boxes import enclose_turned
from ml.data.formats.objects._documents import texts_by_tag
from ml.data.formats.objects._parts import UnusedParts
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

SURE: Final = 2
TRAIN: Final = "train"
#: Folder of the lists for detection.
MAIN_LISTS: Final = "Main"
#: Sources that count pixels from 1, as the development kit of Pascal VOC does.
ONE_BASED_SOURCES: Final = ("pascal voc", "the voc2", "voc2005", "voc2006", "voc2007")
#: Database and folder in the files of supervision.
SUPERVISION: Final = ("roboflow.ai", "VOC")
#: Marks of an object that are not used.
MARKS: Final = ("difficult", "truncated")
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
#: Elements with more than a box, such as polygons.
PARTS: Final = ("part", "polygon", "segm", "actions", "keypoints")
#: Elements that are read, or counted as parts of objects.
USED_ELEMENTS: Final = ("folder", "filename", "source", "size", "object")
USED_CHILDREN: Final = {"source": ("database", "annotation"), "size": ("width", "height")}
USED_OBJECT_ELEMENTS: Final = ("name", "bndbox", "robndbox", "attributes", *MARKS, *PARTS)


class Voc(Format):
    """`JPEGImages/`, `Annotations/<image>.xml`, `ImageSets/Main/<split>.txt`; or XML beside the images."""

    name = "voc"
    summary = "Pascal VOC in zip or tar: images, an XML file for each, and lists of names by split"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for an archive with an XML file.

        One among other files and without images belongs to a corpus of texts.
        """
        names = [name.lower() for source in sources for name in source.member_names if not name.endswith("/")]
        xml_count = sum(name.endswith(".xml") for name in names)
        has_images = any(PurePosixPath(name).suffix in images.SUFFIXES for name in names)
        return super().detect(sources, required) * SURE * (2 * xml_count > len(names) or (xml_count > 0 and has_images))

    def read(self) -> Iterator[Batch]:
        """Yield every image, those without annotation included."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        self._unused_parts = UnusedParts()
        self._smallest, self._has_fractions, self._moved_boxes = math.inf, False, 0
        listed_splits = self._read_lists(files)
        annotations: dict[str, ImageAnnotation] = {}
        for file, data in files.read_texts(files.with_suffix(".xml")):
            try:
                root = read_xml(data)
                image = _find_image(root, file, files)
                objects = self._read_objects(root, file)
                annotation = ImageAnnotation(objects, _split_of(image, file, listed_splits, files), _size(root))
                add_annotation(annotations, image, annotation, Location(file=file), self.issues)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file), rows=1)
        for image in files.images:
            if image not in annotations and _is_mask(image):
                expected = "an image, not a segmentation mask"
                self.issues.add("file_ignored", at=Location(file=image), expected=expected)
                continue
            annotations.setdefault(image, ImageAnnotation([], _split_of(image, image, listed_splits, files)))
        self._report_origin()
        self._unused_parts.report(self.issues)
        yield from files.batches(annotations)

    def _read_objects(self, root: Element, file: str) -> list[dict[str, Any]]:
        """Return the objects of an annotation; turned ones become the upright box around them."""
        objects = []
        is_one_based = _is_one_based(root)
        self._unused_parts.add_fields(texts_by_tag(root), USED_ELEMENTS)
        for parent, used in USED_CHILDREN.items():
            for element in root.iter(parent):
                self._unused_parts.add_fields(texts_by_tag(element), used, prefix=f"{parent}.")
        for element in root.iter("object"):
            self._unused_parts.add_fields(texts_by_tag(element), USED_OBJECT_ELEMENTS, prefix="object.")
            for part in (*(name for name in MARKS if (element.findtext(name) or "").strip() == "1"), *_parts(element)):
                self._unused_parts.add(part)
            self._unused_parts.add_attributes(attributes := _attributes(element))
            box = _turned_box(element, _to_angle(attributes.get("rotation")))
            if box is not None:
                self.issues.add("box_turned", at=Location(file=file))
            box = _corners(element) if box is None else box
            numbers = [number for number in map(_to_float, box) if number is not None]
            self._smallest = min([self._smallest, *numbers])
            self._has_fractions |= not all(number.is_integer() for number in numbers)
            if is_one_based and len(numbers) == len(CORNERS):
                self._moved_boxes += 1
                box = [numbers[0] - 1, numbers[1] - 1, *numbers[2:]]
            objects.append({"label": element.findtext("name"), "box": box})
        return objects

    def _report_origin(self) -> None:
        """Report boxes that count from 1, or may do so."""
        if self._moved_boxes:
            actual = f"{self._moved_boxes:,} boxes"
            self.issues.add("boxes_counted_from_one", actual=actual, count=self._moved_boxes)
        elif 1 <= self._smallest < math.inf and not self._has_fractions:
            self.issues.add("voc_origin_unknown", actual=f"no coordinate below {self._smallest:g}, no fraction")

    def _read_lists(self, files: UploadFiles) -> dict[str, str]:
        """Return the split of every listed image, by its name without suffix.

        An image of `trainval.txt` that no other list names is in train. Lists for other tasks than detection, such as
        `ImageSets/Segmentation`, do not count if there are any in `ImageSets/Main`.
        """
        splits: dict[str, str] = {}
        image_names = {PurePosixPath(image).stem for image in files.images}
        lists = [file for file in files.with_suffix(".txt") if _list_split(file)]
        lists = [file for file in lists if PurePosixPath(file).parent.name == MAIN_LISTS] or lists
        for file, data in files.read_texts(lists):
            split = _list_split(file)
            for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
                name = _listed_name(line)
                if name and name not in image_names:
                    self.issues.add("image_missing", at=Location(file=file, line=number), actual=name, rows=1)
                elif name and split and not (_is_joint_list(file) and name in splits):
                    splits[name] = split
        return splits


def _find_image(root: Element, file: str, files: UploadFiles) -> str:
    """Return the image of an annotation; raises `DataRejected` if there is none."""
    stem = PurePosixPath(file).stem
    image = files.find_image(stem, near=file, image_folder=_image_folder)
    image = image or files.find_image(root.findtext("filename") or "", near=file)
    if image is None:
        raise DataRejected("image_missing", actual=root.findtext("filename") or stem)
    return image


def _split_of(image: str, annotation: str, listed_splits: Mapping[str, str], files: UploadFiles) -> str | None:
    """Return the split of an image.

    The user's choice has precedence over a list, and that over folders and the archive's name.
    """
    listed = listed_splits.get(PurePosixPath(annotation).stem) or listed_splits.get(PurePosixPath(image).stem)
    return files.choose_split(image, annotation, listed)


def _list_split(file: str) -> str | None:
    """Return the split that a list of images is for, by its name."""
    return TRAIN if _is_joint_list(file) else parse_split(PurePosixPath(file).stem)


def _is_joint_list(file: str) -> bool:
    """Return whether a list joins train and validation."""
    return PurePosixPath(file).stem.lower() == "trainval"


def _listed_name(line: str) -> str:
    """Return the name, without folders and image suffix, at the start of a line."""
    name = PurePosixPath(line.split()[0]).name if line.split() else ""
    return PurePosixPath(name).stem if PurePosixPath(name).suffix.lower() in images.SUFFIXES else name


def _is_mask(image: str) -> bool:
    """Return whether an image is a segmentation mask, such as `SegmentationClass/2007_000032.png`."""
    return PurePosixPath(image).parent.name.startswith("Segmentation")


def _image_folder(folder: str) -> str:
    return str(PurePosixPath(folder).parent / "JPEGImages")


def _corners(element: Element) -> list[Any]:
    return [element.findtext(f"bndbox/{corner}") for corner in CORNERS]


def _turned_box(element: Element, angle: float) -> list[Any] | None:
    """Return the upright box around a turned one.

    CVAT writes an angle beside the box, roLabelImg a `robndbox`. None for an object with neither.
    """
    turned = element.find("robndbox")
    if turned is not None:
        values = [_to_float(turned.findtext(name)) for name in ("cx", "cy", "w", "h", "angle")]
        if None in values:
            return None
        x, y, width, height, radians = (value or 0.0 for value in values)
        return enclose_turned([x - width / 2, y - height / 2, x + width / 2, y + height / 2], math.degrees(radians))
    corners = [_to_float(corner) for corner in _corners(element)]
    if not angle or None in corners:
        return None
    return enclose_turned([corner or 0.0 for corner in corners], angle)


def _attributes(element: Element) -> dict[str, str | None]:
    """Return the attributes of an object, as CVAT and Datumaro write them."""
    return {item.findtext("name") or "": item.findtext("value") for item in element.iter("attribute")}


def _parts(element: Element) -> Iterator[str]:
    """Yield what an object has beside its box, such as polygons."""
    yield from (child.tag for child in element if child.tag in PARTS)


def _is_one_based(root: Element) -> bool:
    """Return whether coordinates count from 1, by the source that the writer names.

    The development kit and supervision count so; a coordinate below 1 contradicts it.
    """
    corners = [_to_float(corner) for element in root.iter("object") for corner in _corners(element)]
    if any(corner is not None and corner < 1 for corner in corners):
        return False
    database, folder = (root.findtext(name) or "" for name in ("source/database", "folder"))
    if (database.strip(), folder.strip()) == SUPERVISION:
        return True
    source = " ".join(root.findtext(f"source/{name}") or "" for name in ("database", "annotation")).lower()
    return any(name in source for name in ONE_BASED_SOURCES)


def _to_float(text: Any) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _to_angle(text: Any) -> float:
    angle = _to_float(text)
    return 0.0 if angle is None or not math.isfinite(angle) else angle % 360


def _size(root: Element) -> tuple[int, int] | None:
    sides = [root.findtext(f"size/{side}") or "" for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.strip().isdecimal() for side in sides) else None
