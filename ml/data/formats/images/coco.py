"""COCO: one JSON file lists pictures, classes, and all objects."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.column_types.objects import to_corners
from ml.data.files.upload import find_split
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

LIKELY: Final = 1.5
PARTS: Final = ("images", "annotations", "categories")
NAMED: Final = ("instances", "annotations", "coco")
"""Words of the usual names; another JSON file is looked at only where objects are what is wanted."""
CALLED: Final = ("result.json", "labels.json")
"""What Label Studio and FiftyOne call theirs."""


class Coco(Format):
    """Pictures in archives, JSON beside them or on its own, one file a split; boxes are left, top, width, height."""

    name = "coco"
    summary = "COCO: zip or tar of pictures and JSON of their objects (images, annotations, categories)"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "json"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """JSON with one of the usual names beside pictures is a likely sign."""
        names = [name.lower() for source in sources for name in (source.name, *source.member_names)]
        found = [name for name in names if name.endswith(".json")]
        if wanted is None:
            found = [name for name in found if _is_usual(PurePosixPath(name).name)]
        archives = any(source.content in ("zip", "tar") for source in sources)
        return super().detect(sources, wanted) * LIKELY * bool(found and archives)

    def read(self) -> Iterator[Batch]:
        """Picture by picture, in the order of the archives."""
        heap = UploadFiles(self.sources, self.issues, self.limits)
        sheets: dict[str, ImageAnnotation] = {}
        for file, data in heap.texts(heap.with_suffix(".json")):
            try:
                sheets |= self._sheets(file, _parsed(data), heap)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=file))
        for picture in heap.pictures:
            if picture not in sheets:
                self.issues.add("picture_not_listed", at=Location(file=picture))
        yield from heap.batches(sheets)

    def _sheets(self, file: str, content: Mapping[str, Any], heap: UploadFiles) -> dict[str, ImageAnnotation]:
        names = {number: each.get("name") for number, each in _by_id(content, "categories").items()}
        listed = _by_id(content, "images")
        objects = self._objects(file, content, names, listed)
        split = heap.requested_split_of(file) or find_split(PurePosixPath(file).name) or heap.split_of(file)
        sheets = {}
        for row, (number, each) in enumerate(listed.items(), start=1):
            picture = heap.picture(str(each.get("file_name") or ""), near=file)
            if picture is None:
                at = Location(file=file, row=row, column="images")
                self.issues.add("picture_missing", at=at, actual=each.get("file_name"), rows=1)
                continue
            size = (each.get("width"), each.get("height"))
            known = size if all(isinstance(side, int) for side in size) else None
            sheets[picture] = ImageAnnotation(objects[number], split or heap.split_of(picture), known)  # type: ignore[arg-type]
        return sheets

    def _objects(
        self, file: str, content: Mapping[str, Any], names: Mapping[Any, Any], listed: Mapping[Any, Any]
    ) -> Mapping[Any, list[dict[str, Any]]]:
        """Id of a picture -> its objects."""
        objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row, each in enumerate(_dicts(content, "annotations"), start=1):
            at = Location(file=file, row=row, column="annotations")
            if each.get("image_id") not in listed:
                self.issues.add("annotation_without_picture", at=at, actual=f"image_id {each.get('image_id')}")
            elif each.get("category_id") not in names:
                known = ", ".join(str(number) for number in list(names)[:20])
                found = f"category_id {each.get('category_id')}"
                self.issues.add("class_unknown", at=at, actual=found, expected=f"one of {known}")
            elif each.get("iscrowd"):
                self.issues.add("objects_as_crowd", at=at)
            else:
                label = names[each["category_id"]]
                objects[each["image_id"]].append({"label": label, "box": to_corners(each.get("bbox"))})
        return objects


def _is_usual(name: str) -> bool:
    return name in CALLED or (any(word in name for word in NAMED) and "caption" not in name)


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="JSON") from None
    lists = isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)
    if not lists:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataRejected("annotation_invalid", actual=found, expected=f"an object with lists of {', '.join(PARTS)}")
    return content  # type: ignore[no-any-return]  # looked at above


def _by_id(content: Mapping[str, Any], part: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for each in _dicts(content, part):
        if each.get("id") in found:
            raise DataRejected("annotation_invalid", actual=f"{part}: id {each.get('id')} twice", expected="an id each")
        found[each.get("id")] = each
    return found


def _dicts(content: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    for each in content[part]:
        if not isinstance(each, dict) or not isinstance(each.get("id", 0), str | int):
            raise DataRejected("annotation_invalid", actual=f"{part}: {each}", expected="objects with an id each")
    found: list[dict[str, Any]] = content[part]
    return found
