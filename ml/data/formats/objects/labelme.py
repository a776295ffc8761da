"""LabelMe: a JSON file of shapes for each image, or XML of the earlier LabelMe.

https://github.com/wkentaro/labelme.
"""

from __future__ import annotations

import base64
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.xml import read_xml
from ml.data.formats.objects._boxes import enclose
from ml.data.formats.objects._documents import (
    DocumentFormat,
    ImageRecord,
    parse_json,
    texts_by_tag,
    to_mapping,
    to_number,
    to_size,
)
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

#: Shapes without an area.
OTHER_SHAPES: Final = ("point", "points", "line", "linestrip")
UPRIGHT: Final = "rectangle"
#: Fields of a file and of a shape that are read, or counted as parts of objects.
USED_FIELDS: Final = ("shapes", "flags", "imagePath", "imageData", "imageWidth", "imageHeight")
USED_SHAPE_FIELDS: Final = ("label", "points", "group_id", "shape_type", "flags", "mask")
#: Elements of the earlier LabelMe, likewise.
USED_ELEMENTS: Final = ("folder", "filename", "imagesize", "object")
USED_OBJECT_ELEMENTS: Final = ("name", "deleted", "attributes", "type", "polygon", "segm")
#: Shape of X-AnyLabeling: the four corners of a turned box.
TURNED: Final = "rotation"


class Labelme(DocumentFormat):
    """`image.json` beside each image; the image may stand in the JSON alone."""

    name = "labelme"
    summary = "LabelMe: zip or tar of images and a JSON file of shapes for each (or XML of the earlier LabelMe)"
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".xml")

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether JSON has shapes, or XML has what only LabelMe writes."""
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
            return b'"shapes"' in start
        return b"<annotation" in start and (b"<imagesize>" in start or b"<sourceAnnotation>" in start)

    @classmethod
    def has_images(cls, start: bytes) -> bool:
        """Return whether the file may hold its image."""
        return b'"shapes"' in start

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the image of the file."""
        if PurePosixPath(file).suffix.lower() == ".xml":
            yield self._read_xml(file, data, unused_parts)
            return
        content = parse_json(data)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
            raise DataRejected("annotation_invalid", actual=type(content).__name__, expected="an object with shapes")
        objects: dict[Any, dict[str, Any]] = {}
        for number, shape in enumerate(shapes, start=1):
            self._add_shape(objects, shape, number, Location(file=file, row=number, column="shapes"), unused_parts)
        for flag in (flag for flag, is_set in to_mapping(content.get("flags")).items() if is_set):
            unused_parts.add(f"flag {flag}")
        unused_parts.add_fields(content, USED_FIELDS)
        path = str(content.get("imagePath") or "")
        yield ImageRecord(
            [path, PurePosixPath(path.replace("\\", "/")).name, PurePosixPath(file).stem],
            list(objects.values()),
            Location(file=file),
            to_size(content.get("imageWidth"), content.get("imageHeight")),
            extract=_extract if content.get("imageData") else None,
        )

    def _add_shape(
        self,
        objects: dict[Any, dict[str, Any]],
        shape: Mapping[str, Any],
        number: int,
        at: Location,
        unused_parts: UnusedParts,
    ) -> None:
        """Add the box of a shape.

        Shapes of one label and group are parts of one object, as labelme2coco takes them.
        """
        kind = str(shape.get("shape_type") or "polygon")
        unused_parts.add_fields(shape, USED_SHAPE_FIELDS, prefix="shapes.")
        if kind in OTHER_SHAPES:
            unused_parts.add(kind)
            return
        for flag in (flag for flag, is_set in to_mapping(shape.get("flags")).items() if is_set):
            unused_parts.add(f"flag {flag}")
        try:
            box = _to_box(shape, kind)
        except DataRejected as rejection:
            self.issues.record(rejection, at=at)
            return
        if kind == TURNED:
            self.issues.add("box_turned", at=at)
        elif kind != UPRIGHT:
            self.issues.add("outline_as_box", at=at, actual=kind)
        group = shape.get("group_id")
        key = number if group is None else (str(shape.get("label")), str(group))
        earlier = objects.get(key)
        if earlier is not None:
            box = enclose([earlier["box"][:2], earlier["box"][2:], box[:2], box[2:]])
        objects[key] = {"label": shape.get("label"), "box": box}

    def _read_xml(self, file: str, data: bytes, unused_parts: UnusedParts) -> ImageRecord:
        root = read_xml(data)
        unused_parts.add_fields(texts_by_tag(root), USED_ELEMENTS)
        objects = []
        for row, element in enumerate(root.iter("object"), start=1):
            at = Location(file=file, row=row, column="object")
            if (element.findtext("deleted") or "").strip() == "1":
                unused_parts.add("deleted object")
                continue
            attribute = (element.findtext("attributes") or "").strip()
            if attribute:
                unused_parts.add("attributes")
            unused_parts.add_fields(texts_by_tag(element), USED_OBJECT_ELEMENTS, prefix="object.")
            if (element.findtext("type") or "").strip() != "bounding_box":
                self.issues.add("outline_as_box", at=at)
            try:
                objects.append({"label": element.findtext("name"), "box": _enclose_element(element)})
            except DataRejected as rejection:
                self.issues.record(rejection, at=at)
        name = (root.findtext("filename") or "").strip()
        folder = (root.findtext("folder") or "").strip()
        size = to_size(root.findtext("imagesize/ncols"), root.findtext("imagesize/nrows"))
        names = [f"{folder}/{name}", name, PurePosixPath(file).stem]
        return ImageRecord(names, objects, Location(file=file), size)


def _to_box(shape: Mapping[str, Any], kind: str) -> list[float]:
    """Return the box around a shape; raises `DataRejected`."""
    points = shape.get("points")
    points = points if isinstance(points, list) else []
    box = enclose(points)
    if kind == "circle" and len(points) == 2:
        x, y = map(to_number, points[0])
        radius = math.dist((x, y), [to_number(value) for value in points[1]])
        return [x - radius, y - radius, x + radius, y + radius]
    if kind == "mask":
        # The corners of a mask are its first and last pixel.
        return [box[0], box[1], box[2] + 1, box[3] + 1]
    return box


def _enclose_element(element: Element) -> list[float]:
    """Return the box around the polygon or mask of an object; raises `DataRejected`."""
    points: Sequence[Sequence[str | None]] = [
        (point.findtext("x"), point.findtext("y")) for point in element.iter("pt")
    ]
    if not points and element.find("segm/box") is not None:
        names = (("xmin", "ymin"), ("xmax", "ymax"))
        points = [[element.findtext(f"segm/box/{name}") for name in pair] for pair in names]
    return enclose(points)


def _extract(data: bytes) -> bytes:
    """Return the image in a file.

    Empty if it is invalid, which the check of images rejects.
    """
    try:
        return base64.b64decode(parse_json(data)["imageData"])
    except (DataRejected, ValueError, KeyError, TypeError):
        return b""
