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
#: Usual names of the columns of the center, width and height.
CENTER_NAMES: Final = (
    ("x_center", "y_center", "width", "height"),
    ("x_center", "y_center", "w", "h"),
    ("xcenter", "ycenter", "width", "height"),
    ("center_x", "center_y", "width", "height"),
    ("cx", "cy", "w", "h"),
    ("xc", "yc", "w", "h"),
)
#: Class of boxes in a table that names none.
ONLY_CLASS: Final = "object"
OBJECT_LABEL_NAMES: Final = (*LABEL_NAMES, "labelname", "classname", "object", "class label")
IMAGE_SIDES: Final = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """Columns of a table that hold a box and its label."""

    #: Four columns of numbers, or one of a list.
    box: tuple[str, ...]
    #: Whether the last two numbers are width and height, not right and bottom.
    has_sides: bool
    #: Column of the class; None if all boxes are of one.
    label: str | None
    #: Columns of the width and height of the image; empty without them.
    image_size: tuple[str, ...] = ()
    #: Whether the first two numbers are the center, not left and top.
    has_center: bool = False

    @classmethod
    def find(cls, names: Collection[str]) -> BoxColumns | None:
        """Return the columns of boxes by usual names; None if one is missing.

        Corners and a list need no column of classes.
        """
        label = find_column(names, OBJECT_LABEL_NAMES)
        for forms in (CORNER_NAMES, CENTER_NAMES, SIDE_NAMES):
            if forms is not CORNER_NAMES and label is None:
                continue
            for form in forms:
                if box := _find_all(names, form):
                    sizes = (_find_all(names, sides) for sides in IMAGE_SIDES if not set(sides) & set(form))
                    size = next(filter(None, sizes), ())
                    return cls(box, forms is SIDE_NAMES, label, size, has_center=forms is CENTER_NAMES)
        box_list = find_column(names, COCO_BOX_NAMES)
        return None if box_list is None else cls((box_list,), True, label)

    @property
    def names(self) -> tuple[str, ...]:
        """The column of the class, if any, and those of the box."""
        return (*((self.label,) if self.label else ()), *self.box)

    def parse(self, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the objects of a row; raises `DataRejected` for an invalid box."""
        values = [cells[name] for name in self.box]
        if all(value is None or not str(value).strip() for value in values):
            return []
        label = cells[self.label] if self.label else ONLY_CLASS
        if len(values) > 1:
            sides = _from_center(values) if self.has_center else values
            return [{"label": label, "box": to_corners(sides) if self.has_sides or self.has_center else values}]
        box = _parse_list(values[0])
        if box and isinstance(box[0], list):
            labels = label if self.label else [label] * len(box)
            return [dict(item) for item in ObjectsType.from_cell({"bbox": box, "label": labels}).objects]
        return [{"label": label, "box": to_corners(box)}]

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


def _from_center(values: Sequence[Any]) -> list[Any]:
    """Return left, top, width and height of a box by its center.

    Cells that are no numbers stay.
    """
    numbers = _to_numbers(values)
    if len(numbers) != 4:
        return list(values)
    x, y, width, height = numbers
    return [x - width / 2, y - height / 2, width, height]


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
