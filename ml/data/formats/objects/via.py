"""VGG Image Annotator (VIA 1 and 2): one JSON file with regions of all images.

https://www.robots.ox.ac.uk/~vgg/software/via.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.column_types.objects import LABEL_NAMES
from ml.data.formats.objects._boxes import enclose, enclose_turned_ellipse
from ml.data.formats.objects._documents import DocumentFormat, ImageRecord, parse_json, to_list, to_mapping, to_number
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

AREAS: Final = ("rect", "polygon", "circle", "ellipse")
METADATA: Final = "_via_img_metadata"


class Via(DocumentFormat):
    """`via_region_data.json`, or a project with `_via_img_metadata`."""

    name = "via"
    summary = "VGG Image Annotator: zip or tar of images and its JSON (rectangles, polygons, circles, ellipses)"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether JSON has regions as VIA writes them."""
        return b'"_via_' in start or b'"shape_attributes"' in start

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield all images of the file."""
        content = parse_json(data)
        entries = content.get(METADATA, content) if isinstance(content, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise DataRejected("annotation_invalid", actual=type(content).__name__, expected=f"an object, {METADATA}")
        regions_of = {key: _regions(entry) for key, entry in entries.items()}
        attribute = _choose_attribute([region for regions in regions_of.values() for region in regions])
        if entries is not content:
            unused_parts.add_fields(content, (METADATA,))
        for row, (key, entry) in enumerate(entries.items(), start=1):
            unused_parts.add_fields(to_mapping(entry.get("file_attributes")), prefix="file_attributes.")
            unused_parts.add_fields(entry, ("filename", "regions", "file_attributes"))
            at = Location(file=file, row=row)
            objects = []
            for region in regions_of[key]:
                shape, labels = to_mapping(region.get("shape_attributes")), to_mapping(region.get("region_attributes"))
                kind = str(shape.get("name"))
                if kind not in AREAS:
                    unused_parts.add(kind)
                    continue
                unused_parts.add_attributes({name: value for name, value in labels.items() if name != attribute})
                try:
                    box = _to_box(shape, kind)
                except DataRejected as rejection:
                    self.issues.record(rejection, at=at)
                    continue
                if kind != "rect":
                    self.issues.add("outline_as_box", at=at, actual=kind)
                objects.append({"label": _to_label(labels.get(attribute)), "box": box})
            name = str(entry.get("filename") or "")
            yield ImageRecord([name, PurePosixPath(name.replace("\\", "/")).name], objects, at)


def _regions(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the regions of an image; VIA 1 numbers them by keys."""
    regions = entry.get("regions") or []
    values = regions.values() if isinstance(regions, dict) else regions if isinstance(regions, list) else []
    return [region for region in values if isinstance(region, dict)]


def _choose_attribute(regions: list[dict[str, Any]]) -> str:
    """Return the attribute with the class.

    That is one of a usual name, or else the one that most regions have.
    """
    counts: dict[str, int] = {}
    for region in regions:
        for name, value in to_mapping(region.get("region_attributes")).items():
            counts[name] = counts.get(name, 0) + bool(value)
    usual = [name for name in counts if name.strip().lower() in LABEL_NAMES]
    return max(usual or counts, key=lambda name: counts[name], default="")


def _to_label(value: Any) -> str | None:
    """Return a class name; of checkboxes `{"cat": true}` the first that is set."""
    if isinstance(value, dict):
        return next((str(name) for name, is_set in value.items() if is_set), None)
    return None if value is None else str(value)


def _to_box(shape: Mapping[str, Any], kind: str) -> list[float]:
    """Return the box around a shape; raises `DataRejected`."""
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        return enclose(list(zip(to_list(xs), to_list(ys), strict=False)))
    if kind == "rect":
        left, top, width, height = (to_number(shape.get(name)) for name in ("x", "y", "width", "height"))
        return [left, top, left + width, top + height]
    x, y = to_number(shape.get("cx")), to_number(shape.get("cy"))
    radii = ("r", "r") if kind == "circle" else ("rx", "ry")
    radius_x, radius_y = (to_number(shape.get(name)) for name in radii)
    return enclose_turned_ellipse((x, y), (radius_x, radius_y), math.degrees(to_number(shape.get("theta") or 0)))
