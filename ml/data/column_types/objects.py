"""Objects in an image: a label and a bounding box for every object."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types.base import ColumnType
from ml.data.column_types.label import MAX_LABEL_CHARACTERS
from ml.data.files import images
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

#: `{"label": str, "box": [left, top, right, bottom]}` for every object, in pixels from the upper left corner. A crowd,
#: a region of objects that are not annotated one at a time, has `"crowd": True` as well.
Objects = list[dict[str, Any]]

#: Pixels by which a box may leave its image unreported: annotators count from 0 or from 1, and round.
TOLERANCE_PIXELS: Final = 1.0
#: Fraction of boxes that are reversed or leave their image from which on the box format is probably another one.
SUSPICIOUS_FRACTION: Final = 0.3
MIN_SUSPICIOUS_BOXES: Final = 3
#: Objects whose size is measured; their median hardly changes with more.
MAX_MEASURED_OBJECTS: Final = 100_000
#: If no coordinate exceeds this and some are fractional, all boxes are fractions of the image.
MAX_RELATIVE_COORDINATE: Final = 1.05
#: Usual names of an object's label, the likeliest first; names go before numbers.
LABEL_NAMES: Final = (
    *("label", "category", "class", "name", "labels", "categories", "classes", "names"),
    *("category_name", "class_name", "label_name", "category_id", "class_id", "label_id", "class_label"),
)
#: Usual names of a COCO box.
COCO_BOX_NAMES: Final = ("bbox", "bboxes")
#: Usual names of the mark of a crowd.
CROWD_NAMES: Final = ("crowd", "iscrowd", "is_crowd")
#: Column with the images that contain the objects.
IMAGE: Final = "image"


@dataclass(frozen=True, slots=True)
class AnnotatedObjects:
    """Objects of one image as a format yields them.

    `size` is the width and height of the image, if the format knows them.
    """

    objects: Sequence[Mapping[str, Any]]
    size: tuple[int, int] | None = None


class ObjectsType(ColumnType[Objects]):
    """Rows contain a list of objects, empty for an image without any."""

    name = "objects"
    noun = "list of objects"
    is_identifying = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._counts: Counter[str] = Counter()
        self._crowd_counts: Counter[str] = Counter()
        self._max_objects = 0
        #: Shorter sides of objects, as fractions of the longer sides of their images.
        self._sides = array("f")
        self._boxes = 0
        self._suspicious_boxes = 0
        #: Whether every box so far would be one, too, if its last two numbers were a corner and not a size.
        self._may_be_corners = True
        self._first_suspicious: tuple[Location, Sequence[float]] | None = None
        self._max_coordinate = 0.0
        self._first_fractional: tuple[Location, Sequence[float]] | None = None

    def pack(self, value: AnnotatedObjects, at: Location) -> bytes:
        """Return the objects as JSON, with every box repaired to lie within its image."""
        repair = _BoxRepair(self.issues, at)
        objects: Objects = []
        for number, annotation in enumerate(value.objects, start=1):
            label, box = _parse_label(annotation, number), _parse_box(annotation, number)
            self._boxes += 1
            repaired_box = repair.apply(box, value.size)
            self._collect(box, at, is_suspicious=repair.is_suspicious)
            if repaired_box is None:
                continue
            labeled_box = {"label": label, "box": repaired_box, **({"crowd": True} if annotation.get("crowd") else {})}
            if labeled_box in objects:
                repair.report("box_duplicate", actual=f"{label} {box}")
                continue
            objects.append(labeled_box)
            if value.size and len(self._sides) < MAX_MEASURED_OBJECTS:
                left, top, right, bottom = repaired_box
                self._sides.append(min(right - left, bottom - top) / max(value.size))
        for labeled_box in objects:
            counts = self._crowd_counts if "crowd" in labeled_box else self._counts
            counts[str(labeled_box["label"])] += 1
        self._max_objects = max(self._max_objects, len(objects))
        return json.dumps(objects).encode()

    def add_context(self, values: Sequence[AnnotatedObjects], columns: Mapping[str, Any]) -> Sequence[AnnotatedObjects]:
        """Add the sizes of the images in the same rows.

        The check of boxes needs them, and a table lacks them.
        """
        column = columns.get(IMAGE)
        if column is None:
            return values
        if isinstance(column, np.ndarray):
            height, width = column.shape[1:3]
            return [value if value.size else replace(value, size=(width, height)) for value in values]
        return [
            value if value.size else replace(value, size=images.read_size(image))
            for value, image in zip(values, column, strict=True)
        ]

    def _collect(self, box: Sequence[float], at: Location, *, is_suspicious: bool) -> None:
        """Count a box for the checks of all boxes together."""
        self._suspicious_boxes += is_suspicious
        left, top, right, bottom = box
        self._may_be_corners &= right > 2 * left and bottom > 2 * top
        self._max_coordinate = max(self._max_coordinate, *map(abs, box))
        if is_suspicious and self._first_suspicious is None:
            self._first_suspicious = at, box
        if self._first_fractional is None and any(0 < coordinate < 1 for coordinate in box):
            self._first_fractional = at, box

    @classmethod
    def from_cell(cls, cell: Any) -> AnnotatedObjects:
        """Return the objects in a table cell.

        A cell holds a list of `{"label", "box"}`, as JSON in a text cell. COCO boxes as Hugging Face stores them are
        accepted as well: `{"bbox": [[left, top, width, height], ...], "category": [...]}`, or a list of such objects.
        """
        if isinstance(cell, str):
            try:
                cell = json.loads(cell or "[]")
            except (ValueError, RecursionError):
                raise DataRejected("objects_not_a_list", actual=cell) from None
        if isinstance(cell, Mapping):
            cell = _to_list(cell)
        if cell is not None and (not isinstance(cell, list) or not all(isinstance(item, Mapping) for item in cell)):
            raise DataRejected("objects_not_a_list", actual=cell)
        return AnnotatedObjects([_with_corners(annotation) for annotation in cell or []])

    @classmethod
    def unpack(cls, data: bytes) -> Objects:
        """Return the objects."""
        objects: Objects = json.loads(data)
        return objects

    @classmethod
    def to_raw(cls, data: bytes) -> AnnotatedObjects:
        """Return the objects as formats yield them."""
        return AnnotatedObjects(cls.unpack(data))

    def classes(self) -> list[str]:
        """Return the labels of all objects and crowds."""
        return list(self._counts | self._crowd_counts)

    def facts(self) -> dict[str, Any]:
        """Return the number of objects, in all and by class, and the maximum per image.

        The median of their shorter sides, as a fraction of the longer side of the image, is added if sizes are known,
        and the number of crowds if there are any.
        """
        per_class = {label: self._counts[label] for label in self.classes()}
        facts = {"objects": self._counts.total(), "max_in_image": self._max_objects, "per_class": per_class}
        if self._sides:
            facts["median_side"] = round(median(self._sides), 4)
        return {**facts, "crowds": self._crowd_counts.total()} if self._crowd_counts else facts

    def finish(self) -> None:
        """Report classes of crowds alone, and boxes that are probably in another box format."""
        for label in sorted(self._crowd_counts.keys() - self._counts.keys()):
            self.issues.add("class_of_crowds", actual=f"{label}: {self._crowd_counts[label]:,} crowds, no object")
        if self._first_fractional is not None and self._max_coordinate <= MAX_RELATIVE_COORDINATE:
            at, box = self._first_fractional
            self.issues.add("boxes_in_fractions", at=at, actual=box, expected="left, top, right, bottom in pixels")
            return
        min_boxes = max(MIN_SUSPICIOUS_BOXES, SUSPICIOUS_FRACTION * self._boxes)
        if self._may_be_corners and self._boxes >= MIN_SUSPICIOUS_BOXES:
            # Sizes are seldom all larger than the distances from the left and the top; right and bottom always are.
            min_boxes = 1
        if self._first_suspicious is not None and self._suspicious_boxes >= min_boxes:
            at, box = self._first_suspicious
            actual = f"{self._suspicious_boxes:,} of {self._boxes:,} boxes, the first {box}"
            self.issues.add("boxes_of_another_form", at=at, actual=actual, expected="boxes within their images")


class _BoxRepair:
    """Repairs the boxes of one value, which counts as one repaired row."""

    def __init__(self, issues: IssueLog, at: Location) -> None:
        self._issues = issues
        self._at = at
        self._has_changed = False
        #: Whether the last box was reversed or left its image.
        self.is_suspicious = False

    def report(self, code: str, *, actual: object, expected: object = None) -> None:
        self._issues.add(code, at=self._at, actual=actual, expected=expected, rows=int(not self._has_changed))
        self._has_changed = True

    def apply(self, box: Sequence[float], size: tuple[int, int] | None) -> list[float] | None:
        """Return the box clipped to its image, or None if nothing of it remains."""
        left, right = sorted((box[0], box[2]))
        top, bottom = sorted((box[1], box[3]))
        self.is_suspicious = [left, top, right, bottom] != list(box)
        if self.is_suspicious:
            self.report("box_reversed", actual=box, expected="left, top, right, bottom")
        if left == right or top == bottom:
            self.report("box_empty", actual=box, expected="a width and a height above 0")
            return None
        if size is None:
            return [left, top, right, bottom]
        width, height = size
        overhang = max(-left, -top, right - width, bottom - height)
        if overhang > TOLERANCE_PIXELS:
            self.is_suspicious = True
            expected = f"within {width} x {height}"
            if left >= width or top >= height or right <= 0 or bottom <= 0:
                self.report("box_off_image", actual=box, expected=expected)
                return None
            self.report("box_outside", actual=box, expected=expected)
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
        return [left, top, float(right), float(bottom)] if left < right and top < bottom else None


def _parse_label(annotation: Mapping[str, Any], number: int) -> str:
    label = annotation.get("label")
    text = "" if label is None else str(label).strip()
    if not text:
        raise DataRejected("object_without_label", actual=f"object {number}: {dict(annotation)}")
    if len(text) > MAX_LABEL_CHARACTERS:
        raise DataRejected("label_too_long", actual=text, expected=f"at most {MAX_LABEL_CHARACTERS} characters")
    return text


def _parse_box(annotation: Mapping[str, Any], number: int) -> list[float]:
    box = annotation.get("box")
    try:
        numbers = [float(coordinate) for coordinate in box] if isinstance(box, list | tuple) else []
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(value) and abs(value) < 1e9 for value in numbers):
        raise DataRejected("box_not_numbers", actual=f"object {number}: {box}", expected="left, top, right, bottom")
    return numbers


def _to_list(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert lists with one value per object to one mapping per object."""
    columns = {name: values for name, values in cell.items() if isinstance(values, list)}
    if len({len(values) for values in columns.values()}) != 1:
        raise DataRejected("objects_not_a_list", actual=dict(cell))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _with_corners(annotation: Mapping[str, Any]) -> dict[str, Any]:
    label = next((annotation[name] for name in LABEL_NAMES if name in annotation), None)
    box_name = next((name for name in COCO_BOX_NAMES if name in annotation), None)
    crowd = {"crowd": True} if any(annotation.get(name) for name in CROWD_NAMES) else {}
    if "box" in annotation or box_name is None:
        return {"label": label, "box": annotation.get("box"), **crowd}
    return {"label": label, "box": to_corners(annotation[box_name]), **crowd}


def to_corners(box: Any) -> Any:
    """Convert a COCO box (left, top, width, height) to corners.

    An invalid box is returned unchanged.
    """
    try:
        left, top, width, height = (float(coordinate) for coordinate in box)
    except (TypeError, ValueError):
        return box
    return [left, top, left + width, top + height]
