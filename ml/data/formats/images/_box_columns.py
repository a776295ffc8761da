"""Boxes in the columns of a table, with a row for each object.

TensorFlow, Roboflow and Open Images write them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.objects import COCO_BOX_NAMES, LABEL_NAMES, ObjectsType, to_corners
from ml.data.issues import DataRejected
from ml.data.tables.manifests import find_column

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: Usual names of the columns of left, top, right and bottom.
CORNER_NAMES: Final = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
)
#: Usual names of the columns of left, top, width and height.
SIDE_NAMES: Final = (
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("x", "y", "w", "h"),
    ("left", "top", "width", "height"),
    ("x", "y", "width", "height"),
)
OBJECT_LABEL_NAMES: Final = (*LABEL_NAMES, "labelname", "classname", "object", "class label")
IMAGE_SIDES: Final = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """Columns of a table that hold a box and its label."""

    #: Four columns of numbers, or one of a list.
    box: tuple[str, ...]
    #: Whether the last two numbers are width and height, not right and bottom.
    has_sides: bool
    label: str
    #: Columns of the width and height of the image; empty without them.
    image_size: tuple[str, ...] = ()

    @classmethod
    def find(cls, names: Collection[str]) -> BoxColumns | None:
        """Return the columns of boxes by usual names; None if one is missing."""
        label = find_column(names, OBJECT_LABEL_NAMES)
        if label is None:
            return None
        for has_sides, forms in ((False, CORNER_NAMES), (True, SIDE_NAMES)):
            for form in forms:
                box = _find_all(names, form)
                if box:
                    sizes = (_find_all(names, sides) for sides in IMAGE_SIDES if not set(sides) & set(form))
                    return cls(box, has_sides, label, next(filter(None, sizes), ()))
        box_list = find_column(names, COCO_BOX_NAMES)
        return None if box_list is None else cls((box_list,), True, label)

    def parse(self, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the objects of a row; raises `DataRejected` for an invalid box."""
        values = [cells[name] for name in self.box]
        if all(value is None or not str(value).strip() for value in values):
            return []
        if len(values) > 1:
            return [{"label": cells[self.label], "box": to_corners(values) if self.has_sides else values}]
        box = _parse_list(values[0])
        if box and isinstance(box[0], list):
            return [dict(item) for item in ObjectsType.from_cell({"bbox": box, "label": cells[self.label]}).objects]
        return [{"label": cells[self.label], "box": to_corners(box)}]

    def parse_image_size(self, cells: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return the width and height of the image; None without them."""
        sides = [str(cells[name] or "").strip() for name in self.image_size]
        return (int(sides[0]), int(sides[1])) if sides and all(side.isdecimal() for side in sides) else None


def are_fractions(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether all boxes are fractions of their images."""
    numbers = [number for annotated in objects for number in _to_numbers(annotated["box"])]
    return bool(numbers) and max(map(abs, numbers)) <= 1 and any(not number.is_integer() for number in numbers)


def to_relative(annotated: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an object with its box as fractions of the image."""
    numbers = _to_numbers(annotated["box"])
    return {"label": annotated["label"], "relative_box": numbers} if len(numbers) == 4 else annotated


def _to_numbers(box: Any) -> list[float]:
    try:
        return [float(number) for number in box]
    except (TypeError, ValueError):
        return []


def _find_all(names: Collection[str], form: Sequence[str]) -> tuple[str, ...]:
    columns = [find_column(names, [name]) for name in form]
    return tuple(column for column in columns if column is not None) if None not in columns else ()


def _parse_list(cell: Any) -> Any:
    """Return a list as it is, or parse it from JSON."""
    try:
        value = json.loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise DataRejected("box_not_numbers", actual=cell, expected="left, top, width, height")
    return value
