"""Operations on the objects in images: their classes, and which of them remain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.derivation.selection import Selection

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectConditions:
    """Conditions that an object must fulfill to remain; an image without objects remains as one."""

    classes: Sequence[str] | None
    without_classes: Sequence[str] | None
    #: Least width and height of a box.
    min_box_pixels: float

    def fits(self, item: Mapping[str, Any]) -> bool:
        """Return whether an object fulfills them."""
        left, top, right, bottom = item["box"]
        return (
            (self.classes is None or item["label"] in self.classes)
            and item["label"] not in (self.without_classes or ())
            and min(right - left, bottom - top) >= self.min_box_pixels
        )


def filter_objects(selection: Selection, conditions: ObjectConditions) -> Selection:
    """Return all images with the objects that fulfill the conditions."""

    def apply(_split: str, _index: int, objects: Sequence[Mapping[str, Any]]) -> list[Object]:
        return [dict(item) for item in objects if conditions.fits(item)]

    return selection.change_objects(apply, selection.classes)


def merge_object_classes(selection: Selection, classes: Sequence[str], into: str) -> Selection:
    """Return all images with the objects of the classes as objects of one."""

    def apply(_split: str, _index: int, objects: Sequence[Mapping[str, Any]]) -> list[Object]:
        return [{**item, "label": into if item["label"] in classes else item["label"]} for item in objects]

    return selection.change_objects(apply, list(dict.fromkeys([*selection.classes, into])))


def relabel_objects(selection: Selection, labels: Mapping[Any, Mapping[int, Mapping[int, str]]]) -> Selection:
    """Return all images with new classes of objects of the first dataset.

    `labels`: split -> position of the image -> position of the object -> class. Positions are those before any
    operation, so relabel objects before they are filtered.
    """
    names = [name for images in labels.values() for objects in images.values() for name in objects.values()]

    def apply(split: str, index: int, objects: Sequence[Mapping[str, Any]]) -> list[Object]:
        changes = labels.get(split, {}).get(index, {})
        return [{**item, "label": changes.get(number, item["label"])} for number, item in enumerate(objects)]

    return selection.change_objects(apply, list(dict.fromkeys([*selection.classes, *names])), parts=1)


def find_missing_objects(
    selection: Selection, labels: Mapping[Any, Mapping[int, Mapping[int, str]]]
) -> Iterator[tuple[Location, int, int]]:
    """Yield image, position and number of objects for each position beyond them.

    `selection` has the rows of the first dataset before any operation.
    """
    column, part = selection.object_column, selection.parts[0]
    if column is None:
        return
    for split, images in labels.items():
        values = part.rows(split, is_raw=True).columns[column]
        for index, changes in images.items():
            count = len(values[index].objects)
            at = Location(file=f"{part.name} {split}", row=index + 1, column=column)
            yield from ((at, number, count) for number in changes if number >= count)
