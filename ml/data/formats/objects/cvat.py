"""CVAT for images and for video: one XML file with all images or tracks.

https://docs.cvat.ai/docs/manual/advanced/xml_format/.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.upload import find_split
from ml.data.files.xml import read_xml
from ml.data.formats.objects._boxes import enclose, enclose_runs, enclose_turned, enclose_turned_ellipse
from ml.data.formats.objects._documents import DocumentFormat, ImageRecord, to_number, to_size
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

CORNERS: Final = ("xtl", "ytl", "xbr", "ybr")
#: Shapes with an area, which have a box around them.
AREAS: Final = ("box", "polygon", "mask", "ellipse", "cuboid")
#: Corners of each of the two sides of a cuboid.
CUBOID: Final = ("tl", "tr", "bl", "br")
#: Shapes and labels without an area.
OTHER_SHAPES: Final = ("polyline", "points", "skeleton", "tag")
#: Attributes of a shape that are read.
USED_FIELDS: Final = frozenset(
    {
        *(*CORNERS, "cx", "cy", "rx", "ry", "points", "rle", "left", "top", "width", "height", "rotation", "label"),
        *("frame", "outside", *(f"{axis}{corner}{number}" for axis in "xy" for corner in CUBOID for number in (1, 2))),
    }
)
#: Name of a frame of a video, as CVAT exports it.
_FRAME: Final = re.compile(r"frame_(\d{6,})")


class Cvat(DocumentFormat):
    """`annotations.xml` of a task or project, with the images in `images/`."""

    name = "cvat"
    summary = "CVAT: zip or tar of images, and the XML of a task or project (boxes, polygons, masks, tracks of a video)"
    suffixes: ClassVar[tuple[str, ...]] = (".xml",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether the root is `annotations` with images, tracks or a version."""
        return b"<annotations" in start and any(mark in start for mark in (b"<image ", b"<track ", b"<version>"))

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the images, and the frames of tracks."""
        root = read_xml(data)
        if root.tag != "annotations":
            raise DataRejected("annotation_invalid", actual=f"<{root.tag}>", expected="<annotations>")
        unused_parts.add_fields({child.tag: True for child in root}, ("image", "track", "version"))
        for row, image in enumerate(root.iter("image"), start=1):
            unused_parts.add_fields(image.attrib, ("name", "width", "height", "subset"), prefix="image.")
            at = Location(file=file, row=row, column="image")
            objects = list(self._read_shapes(image, at, unused_parts))
            size = to_size(image.get("width"), image.get("height"))
            yield ImageRecord([image.get("name") or ""], objects, at, size, find_split(image.get("subset") or ""))
        yield from self._read_tracks(root, file, files, unused_parts)

    def _read_tracks(
        self, root: Element, file: str, files: UploadFiles, unused_parts: UnusedParts
    ) -> Iterator[ImageRecord]:
        """Yield every frame of the upload if the file has tracks.

        A frame without shapes shows no objects.
        """
        objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        tracks = list(root.iter("track"))
        for track in tracks:
            unused_parts.add("track")
            unused_parts.add_fields(track.attrib, ("id", "label"), prefix="track.")
            at = Location(file=file, column=f"track {track.get('id')}")
            for shape in track:
                if shape.tag in AREAS and shape.get("outside") != "1":
                    shape.set("label", track.get("label") or "")
                    objects[int(to_number(shape.get("frame")))] += self._read_shape(shape, at, unused_parts)
        if not tracks:
            return
        frames = {int(match[1]) for image in files.images if (match := _FRAME.fullmatch(PurePosixPath(image).stem))}
        for frame in sorted(frames | objects.keys()):
            at = Location(file=file, column=f"frame {frame}")
            yield ImageRecord([f"frame_{frame:06}"], objects.get(frame, []), at)

    def _read_shapes(self, image: Element, at: Location, unused_parts: UnusedParts) -> Iterator[dict[str, Any]]:
        for shape in image:
            if shape.tag in AREAS:
                yield from self._read_shape(shape, at, unused_parts)
            elif shape.tag in OTHER_SHAPES:
                unused_parts.add(shape.tag)

    def _read_shape(self, shape: Element, at: Location, unused_parts: UnusedParts) -> list[dict[str, Any]]:
        """Return the object of a shape; none if it is invalid, which becomes an issue."""
        unused_parts.add_attributes({item.get("name") or "": item.text for item in shape.iter("attribute")})
        unused_parts.add_fields(shape.attrib, USED_FIELDS, prefix=f"{shape.tag}.")
        try:
            box = _to_box(shape)
        except DataRejected as rejection:
            self.issues.record(rejection, at=at)
            return []
        if shape.tag == "box" and _angle(shape):
            self.issues.add("box_turned", at=at, actual=f"rotation {_angle(shape):g}")
        elif shape.tag != "box":
            self.issues.add("outline_as_box", at=at, actual=shape.tag)
        return [{"label": shape.get("label"), "box": box}]


def _angle(shape: Element) -> float:
    return to_number(shape.get("rotation") or 0) % 360


def _to_box(shape: Element) -> list[float]:
    """Return the box around a shape; raises `DataRejected`."""
    if shape.tag == "box":
        return enclose_turned([to_number(shape.get(corner)) for corner in CORNERS], _angle(shape))
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = (to_number(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
        return enclose_turned_ellipse((x, y), (radius_x, radius_y), _angle(shape))
    if shape.tag == "mask":
        return _enclose_mask(shape)
    if shape.tag == "cuboid":
        names = [f"{side}{number}" for side in CUBOID for number in (1, 2)]
        return enclose([(shape.get(f"x{name}"), shape.get(f"y{name}")) for name in names])
    return enclose([point.split(",") for point in (shape.get("points") or "").split(";")])


def _enclose_mask(shape: Element) -> list[float]:
    """Return the box around a mask: runs along the rows of a rectangle, background first."""
    left, top, width = (int(to_number(shape.get(name))) for name in ("left", "top", "width"))
    runs = [int(to_number(length)) for length in (shape.get("rle") or "").split(",")]
    if width < 1 or min(runs) < 0:
        raise DataRejected("box_not_numbers", actual=shape.get("rle"), expected="run lengths of a mask")
    # Runs along rows of a mask are runs down the columns of the transposed one.
    box = enclose_runs(runs, height=width)
    if box is None:
        return [float(left), float(top)] * 2
    return [left + box[1], top + box[0], left + box[3], top + box[2]]
