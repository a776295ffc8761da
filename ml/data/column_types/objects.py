"""Objects in a picture: what each is, and the box around it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types.base import ColumnType
from ml.data.column_types.label import MAX_LABEL_CHARACTERS
from ml.data.files import images
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

Objects = list[dict[str, Any]]
"""`{"label": str, "box": [left, top, right, bottom]}` each, in pixels from the picture's left upper corner."""

ROUNDED: Final = 1.0
"""Pixels by which a box may leave its picture without a word: annotators count from 0 or from 1, and round."""
STRANGE: Final = 0.3
"""Share of boxes that leave their picture or end before they begin, from which they are hardly mistakes one by one."""
FEWEST_STRANGE: Final = 3
SHARES: Final = 1.05
"""Where no box reaches further, and some have fractions, all are shares of the picture."""
PICTURE: Final = "image"
"""The column in whose pictures the objects are."""


@dataclass(frozen=True, slots=True)
class AnnotatedObjects:
    """The objects of one picture as a format brings them, and its width and height, where the format knows them."""

    objects: Sequence[Mapping[str, Any]]
    size: tuple[int, int] | None = None


class ObjectsType(ColumnType[Objects]):
    """A row holds a list of objects, empty for a picture that shows none."""

    name = "objects"
    noun = "list of objects"
    distinct = False

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._counts: Counter[str] = Counter()
        self._most = 0
        self._seen = 0
        self._strange = 0
        self._first_strange: tuple[Location, Sequence[float]] | None = None
        self._farthest = 0.0
        self._shares: tuple[Location, Sequence[float]] | None = None

    def pack(self, value: AnnotatedObjects, at: Location) -> bytes:
        """JSON, once every box lies within its picture and has an area."""
        mending = _Mending(self.issues, at)
        kept: Objects = []
        for number, each in enumerate(value.objects, start=1):
            label, box = _label(each, number), _box(each, number)
            self._seen += 1
            mended = mending.box(box, value.size)
            self._note(box, at, strange=mending.strange)
            if mended is None:
                continue
            found = {"label": label, "box": mended}
            if found in kept:
                mending.note("box_duplicate", actual=f"{label} {box}")
                continue
            kept.append(found)
        self._counts.update(each["label"] for each in kept)
        self._most = max(self._most, len(kept))
        return json.dumps(kept).encode()

    def beside(self, values: Sequence[AnnotatedObjects], columns: Mapping[str, Any]) -> Sequence[AnnotatedObjects]:
        """Each with the size of its picture: a table knows none, and only beside the picture can a box be judged."""
        pictures = columns.get(PICTURE)
        if pictures is None:
            return values
        if isinstance(pictures, np.ndarray):
            height, width = pictures.shape[1:3]
            return [each if each.size else replace(each, size=(width, height)) for each in values]
        return [
            each if each.size else replace(each, size=images.read_size(picture))
            for each, picture in zip(values, pictures, strict=True)
        ]

    def _note(self, box: Sequence[float], at: Location, *, strange: bool) -> None:
        """What can only be judged of all boxes together."""
        self._strange += strange
        self._farthest = max(self._farthest, *map(abs, box))
        if strange and self._first_strange is None:
            self._first_strange = at, box
        if self._shares is None and any(0 < each < 1 for each in box):
            self._shares = at, box

    @classmethod
    def from_cell(cls, cell: Any) -> AnnotatedObjects:
        """A list of `{"label", "box"}`, as JSON where cells are texts; or as Hugging Face stores it, COCO's boxes.

        There, `{"bbox": [[left, top, width, height], ...], "category": [...]}`, or a list of such objects.
        """
        if isinstance(cell, str):
            try:
                cell = json.loads(cell or "[]")
            except (ValueError, RecursionError):
                raise DataRejected("objects_not_a_list", actual=cell) from None
        if isinstance(cell, Mapping):
            cell = _in_a_list(cell)
        if cell is not None and (not isinstance(cell, list) or not all(isinstance(each, Mapping) for each in cell)):
            raise DataRejected("objects_not_a_list", actual=cell)
        return AnnotatedObjects([_with_corners(each) for each in cell or []])

    @classmethod
    def unpack(cls, data: bytes) -> Objects:
        """The objects."""
        objects: Objects = json.loads(data)
        return objects

    def classes(self) -> list[str]:
        """The labels of all objects."""
        return list(self._counts)

    def facts(self) -> dict[str, Any]:
        """How many objects there are, of each class and at most in one picture."""
        return {"objects": self._counts.total(), "most_in_one": self._most, "per_class": dict(self._counts)}

    def finish(self) -> None:
        """Boxes that look as if they were written in another form."""
        if self._shares is not None and self._farthest <= SHARES:
            at, box = self._shares
            self.issues.add("boxes_in_shares", at=at, actual=box, expected="left, top, right, bottom in pixels")
        elif self._first_strange is not None and self._strange >= max(FEWEST_STRANGE, STRANGE * self._seen):
            at, box = self._first_strange
            found = f"{self._strange:,} of {self._seen:,} boxes, the first {box}"
            self.issues.add("boxes_of_another_form", at=at, actual=found, expected="boxes within their pictures")


class _Mending:
    """Mends the boxes of one value; the value counts once, however many of its boxes are changed."""

    def __init__(self, issues: IssueLog, at: Location) -> None:
        self._issues = issues
        self._at = at
        self._changed = False
        self.strange = False
        """Whether the last box was not where, or as, a box should be."""

    def note(self, code: str, *, actual: object, expected: object = None) -> None:
        self._issues.add(code, at=self._at, actual=actual, expected=expected, rows=int(not self._changed))
        self._changed = True

    def box(self, given: Sequence[float], size: tuple[int, int] | None) -> list[float] | None:
        """Within its picture; None where nothing is left of it."""
        left, right = sorted((given[0], given[2]))
        top, bottom = sorted((given[1], given[3]))
        self.strange = [left, top, right, bottom] != list(given)
        if self.strange:
            self.note("box_reversed", actual=given, expected="left, top, right, bottom")
        if left == right or top == bottom:
            self.note("box_empty", actual=given, expected="a width and a height above 0")
            return None
        if size is None:
            return [left, top, right, bottom]
        width, height = size
        beyond = max(-left, -top, right - width, bottom - height)
        if beyond > ROUNDED:
            self.strange = True
            within = f"within {width} x {height}"
            if left >= width or top >= height or right <= 0 or bottom <= 0:
                self.note("box_off_picture", actual=given, expected=within)
                return None
            self.note("box_outside", actual=given, expected=within)
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
        return [left, top, float(right), float(bottom)] if left < right and top < bottom else None


def _label(given: Mapping[str, Any], number: int) -> str:
    label = given.get("label")
    text = "" if label is None else str(label).strip()
    if not text:
        raise DataRejected("object_without_label", actual=f"object {number}: {dict(given)}")
    if len(text) > MAX_LABEL_CHARACTERS:
        raise DataRejected("label_too_long", actual=text)
    return text


def _box(given: Mapping[str, Any], number: int) -> list[float]:
    box = given.get("box")
    try:
        numbers = [float(each) for each in box] if isinstance(box, list | tuple) else []
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(each) and abs(each) < 1e9 for each in numbers):
        raise DataRejected("box_not_numbers", actual=f"object {number}: {box}", expected="left, top, right, bottom")
    return numbers


def _in_a_list(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of columns that hold one value for each object, one mapping for each object."""
    columns = {name: values for name, values in cell.items() if isinstance(values, list)}
    if len({len(values) for values in columns.values()}) != 1:
        raise DataRejected("objects_not_a_list", actual=dict(cell))
    return [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]


def _with_corners(given: Mapping[str, Any]) -> dict[str, Any]:
    label = next((given[name] for name in ("label", "category", "class", "name") if name in given), None)
    if "box" in given or "bbox" not in given:
        return {"label": label, "box": given.get("box")}
    return {"label": label, "box": to_corners(given["bbox"])}


def to_corners(box: Any) -> Any:
    """COCO's left, top, width, height as corners; what is no such thing as it is, to be refused."""
    try:
        left, top, width, height = (float(each) for each in box)
    except (TypeError, ValueError):
        return box
    return [left, top, left + width, top + height]
