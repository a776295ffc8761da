"""COCO: one JSON file with the images, the classes and all objects. https://cocodataset.org/#format-data."""

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
SECTIONS: Final = ("images", "annotations", "categories")
#: Words in the usual file names; other JSON files are read only if a task requires objects.
USUAL_NAME_WORDS: Final = ("instances", "annotations", "coco")
#: File names that Label Studio and FiftyOne export.
EXPORT_NAMES: Final = ("result.json", "labels.json")
MAX_LISTED_CLASSES: Final = 20


class Coco(Format):
    """Images in archives, with JSON beside them or on its own, one file per split.

    Boxes are left, top, width, height.
    """

    name = "coco"
    summary = "COCO: zip or tar of images and JSON of their objects (images, annotations, categories)"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "json"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return more than the default for an archive and JSON with usual names."""
        names = [name.lower() for source in sources for name in (source.name, *source.member_names)]
        json_names = [name for name in names if name.endswith(".json")]
        if required is None:
            json_names = [name for name in json_names if _is_usual_name(PurePosixPath(name).name)]
        has_archive = any(source.content in ("zip", "tar") for source in sources)
        return super().detect(sources, required) * LIKELY * bool(json_names and has_archive)

    def read(self) -> Iterator[Batch]:
        """Yield the images in the order of the archives."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        annotations: dict[str, ImageAnnotation] = {}
        for file, data in files.read_texts(files.with_suffix(".json")):
            try:
                annotations |= self._to_annotations(file, _parse(data), files)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file))
        for image in files.images:
            if image not in annotations:
                self.issues.add("image_not_listed", at=Location(file=image))
        yield from files.batches(annotations)

    def _to_annotations(self, file: str, content: Mapping[str, Any], files: UploadFiles) -> dict[str, ImageAnnotation]:
        """Return the annotations of one JSON file by image.

        An image that is missing becomes an issue.
        """
        class_names = {class_id: category.get("name") for class_id, category in _by_id(content, "categories").items()}
        image_entries = _by_id(content, "images")
        objects = self._group_objects(file, content, class_names, image_entries)
        named_split = find_split(PurePosixPath(file).name)
        annotations = {}
        for row, (image_id, entry) in enumerate(image_entries.items(), start=1):
            image = files.find_image(str(entry.get("file_name") or ""), near=file)
            if image is None:
                at = Location(file=file, row=row, column="images")
                self.issues.add("image_missing", at=at, actual=entry.get("file_name"), rows=1)
                continue
            size = (entry.get("width"), entry.get("height"))
            checked_size = size if all(isinstance(side, int) for side in size) else None
            split = files.choose_split(image, file, named_split)
            annotations[image] = ImageAnnotation(objects[image_id], split, checked_size)  # type: ignore[arg-type]
        return annotations

    def _group_objects(
        self,
        file: str,
        content: Mapping[str, Any],
        class_names: Mapping[Any, Any],
        image_entries: Mapping[Any, Any],
    ) -> Mapping[Any, list[dict[str, Any]]]:
        """Group the objects by image id; one that cannot be used becomes an issue."""
        objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row, entry in enumerate(_read_section(content, "annotations"), start=1):
            at = Location(file=file, row=row, column="annotations")
            if entry.get("image_id") not in image_entries:
                self.issues.add("annotation_without_image", at=at, actual=f"image_id {entry.get('image_id')}")
            elif entry.get("category_id") not in class_names:
                listed = ", ".join(str(class_id) for class_id in list(class_names)[:MAX_LISTED_CLASSES])
                actual = f"category_id {entry.get('category_id')}"
                self.issues.add("class_unknown", at=at, actual=actual, expected=f"one of {listed}")
            elif entry.get("iscrowd"):
                self.issues.add("objects_as_crowd", at=at)
            else:
                label = class_names[entry["category_id"]]
                objects[entry["image_id"]].append({"label": label, "box": to_corners(entry.get("bbox"))})
        return objects


def _is_usual_name(name: str) -> bool:
    return name in EXPORT_NAMES or (any(word in name for word in USUAL_NAME_WORDS) and "caption" not in name)


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="JSON") from None
    if isinstance(content, dict) and all(isinstance(content.get(section), list) for section in SECTIONS):
        return content
    actual = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise DataRejected("annotation_invalid", actual=actual, expected=f"an object with lists of {', '.join(SECTIONS)}")


def _by_id(content: Mapping[str, Any], section: str) -> dict[Any, dict[str, Any]]:
    """Return the entries of a section by id; raises `DataRejected` if two have the same."""
    entries: dict[Any, dict[str, Any]] = {}
    for entry in _read_section(content, section):
        entry_id = entry.get("id")
        if entry_id in entries:
            raise DataRejected("annotation_invalid", actual=f"{section}: id {entry_id} twice", expected="unique ids")
        entries[entry_id] = entry
    return entries


def _read_section(content: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """Return the entries of a section.

    Raises `DataRejected` if one is no object or has an invalid id.
    """
    for entry in content[section]:
        if not isinstance(entry, dict) or not isinstance(entry.get("id", 0), str | int):
            raise DataRejected("annotation_invalid", actual=f"{section}: {entry}", expected="objects with an id")
    entries: list[dict[str, Any]] = content[section]
    return entries
