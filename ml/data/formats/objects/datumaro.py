"""Datumaro: a JSON file for each split, with items and their annotations. https://open-edge-platform.github.io/datumaro."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.column_types.objects import to_corners
from ml.data.formats.objects._boxes import enclose_flat, enclose_mask, enclose_turned
from ml.data.formats.objects._documents import (
    DocumentFormat,
    ImageRecord,
    parse_json,
    to_list,
    to_mapping,
    to_number,
    to_size,
)
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

AREAS: Final = ("bbox", "polygon", "mask", "rotated_bbox", "ellipse")
#: Fields of an annotation that are read.
USED_FIELDS: Final = ("type", "attributes", "label_id", "bbox", "points", "rle")


class Datumaro(DocumentFormat):
    """`annotations/<split>.json` and `images/<split>/`."""

    name = "datumaro"
    summary = "Datumaro: zip or tar of images and its JSON of items (boxes, polygons, masks)"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether JSON has Datumaro's version, or its categories of labels."""
        return b'"dm_format_version"' in start or (b'"infos"' in start and b'"label_groups"' in start)

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the images of all items."""
        content = parse_json(data)
        labels = _labels(content)
        items = content.get("items") if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataRejected("annotation_invalid", actual=type(content).__name__, expected="an object with items")
        unused_parts.add_fields(content, ("items", "categories"))
        _count_unread_categories(content["categories"], unused_parts)
        for row, item in enumerate(items, start=1):
            unused_parts.add_fields(item, ("id", "annotations", "image", "media"), prefix="items.")
            at = Location(file=file, row=row, column="items")
            media = to_mapping(item.get("image")) or to_mapping(item.get("media"))
            size = to_list(media.get("size"))
            objects = list(self._read_objects(item, labels, at, unused_parts))
            names = [str(media.get("path") or ""), str(item.get("id") or "")]
            names += [PurePosixPath(name).name for name in names if name]
            yield ImageRecord(names, objects, at, to_size(size[1], size[0]) if len(size) == 2 else None)

    def _read_objects(
        self, item: Mapping[str, Any], labels: list[str], at: Location, unused_parts: UnusedParts
    ) -> Iterator[dict[str, Any]]:
        for entry in to_list(item.get("annotations")):
            kind = str(entry.get("type")) if isinstance(entry, dict) else "unknown"
            if kind not in AREAS:
                unused_parts.add(kind)
                continue
            attributes = to_mapping(entry.get("attributes"))
            unused_parts.add_attributes(attributes)
            unused_parts.add_fields(entry, USED_FIELDS, prefix="annotations.")
            code = entry.get("label_id")
            if not isinstance(code, int) or not 0 <= code < len(labels):
                expected = f"0 to {len(labels) - 1}"
                self.issues.add("class_unknown", at=at, actual=f"label_id {code}", expected=expected)
                continue
            try:
                box = self._to_box(entry, kind, attributes, at)
            except DataRejected as rejection:
                self.issues.record(rejection, at=at)
                continue
            is_crowd = bool(attributes.get("is_crowd"))
            if is_crowd:
                self.issues.add("objects_as_crowd", at=at)
            yield {"label": labels[code], "box": box, **({"crowd": True} if is_crowd else {})}

    def _to_box(self, entry: Mapping[str, Any], kind: str, attributes: Mapping[str, Any], at: Location) -> list[float]:
        """Return the box around an annotation; raises `DataRejected`."""
        if kind == "bbox":
            box = [to_number(side) for side in to_list(to_corners(entry.get("bbox")))]
            angle = to_number(attributes.get("rotation") or 0) % 360
            if angle and len(box) == 4:
                self.issues.add("box_turned", at=at, actual=f"rotation {angle:g}")
                return enclose_turned(box, angle)
            return box
        if kind == "rotated_bbox":
            self.issues.add("box_turned", at=at)
            return _enclose_rotated(entry)
        self.issues.add("outline_as_box", at=at, actual=kind)
        if kind == "mask":
            rle = entry.get("rle")
            box_of_mask = enclose_mask(rle if isinstance(rle, Mapping) else {})
            return [0.0, 0.0, 0.0, 0.0] if box_of_mask is None else box_of_mask
        return enclose_flat(to_list(entry.get("points")))


def _enclose_rotated(entry: Mapping[str, Any]) -> list[float]:
    """Return the box around center x, center y, width, height and degrees; raises `DataRejected`."""
    values = entry.get("bbox") or entry.get("points")
    if not isinstance(values, list) or len(values) != 5:
        raise DataRejected("box_not_numbers", actual=values, expected="cx, cy, width, height, degrees")
    x, y, width, height, degrees = map(to_number, values)
    return enclose_turned([x - width / 2, y - height / 2, x + width / 2, y + height / 2], math.fmod(degrees, 360))


def _count_unread_categories(categories: Mapping[str, Any], unused_parts: UnusedParts) -> None:
    unused_parts.add_fields(categories, ("label",), prefix="categories.")
    unused_parts.add_fields(categories["label"], ("labels",), prefix="label.")
    for label in categories["label"]["labels"]:
        unused_parts.add_fields(label, ("name",), prefix="labels.")


def _labels(content: Any) -> list[str]:
    """Return the names of the labels; raises `DataRejected` without them."""
    try:
        return [str(label["name"]) for label in content["categories"]["label"]["labels"]]
    except (KeyError, TypeError):
        raise DataRejected("annotation_invalid", expected="categories with labels") from None
