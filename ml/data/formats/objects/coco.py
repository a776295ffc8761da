"""COCO: one JSON file with the images, the classes and all objects. https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.column_types.objects import to_corners
from ml.data.files.upload import find_split
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles, add_annotation
from ml.data.formats.objects._boxes import enclose, enclose_mask, enclose_turned
from ml.data.formats.objects._parts import UnusedParts
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch
    from ml.data.issues import IssueLog

LIKELY: Final = 1.5
SECTIONS: Final = ("images", "annotations", "categories")
#: Words in the usual file names; other JSON files are read only if a task requires objects.
USUAL_NAME_WORDS: Final = ("instances", "annotations", "coco", "person_keypoints")
#: File names that Label Studio and FiftyOne export.
EXPORT_NAMES: Final = ("result.json", "labels.json")
MAX_LISTED_CLASSES: Final = 20
#: The license in files of Datumaro and CVAT.
BLANK_LICENSE: Final = {"name": "", "id": 0, "url": ""}
#: Kinds of COCO files, by the start of their names, that repeat what a file of instances has.
REPEATING_PREFIXES: Final = ("stuff", "panoptic", "image_info", "labels", "person_keypoints")
INSTANCES: Final = "instances"
#: Numbers of a polygon with four corners.
RECTANGLE_VALUES: Final = 8
#: Names of the track that an object belongs to.
TRACK_NAMES: Final = ("track_id", "instance_id")
#: Parts of an annotation that are counted as parts of objects.
PARTS: Final = ("segmentation", "keypoints", *TRACK_NAMES)
#: Section -> fields that are read, or counted as parts of objects.
USED_FIELDS: Final = {
    "images": ("id", "file_name", "width", "height"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox", "iscrowd", "attributes", *PARTS),
}


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
            starts = {name.lower(): start for source in sources for name, start in source.text_starts.items()}
            json_names = [
                name
                for name in json_names
                if _is_usual_name(PurePosixPath(name).name) or _has_sections(starts.get(name, b""))
            ]
        has_archive = any(source.content in ("zip", "tar") for source in sources)
        return super().detect(sources, required) * LIKELY * bool(json_names and has_archive)

    def read(self) -> Iterator[Batch]:
        """Yield the images in the order of the archives."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        annotations: dict[str, ImageAnnotation] = {}
        for file, data in files.read_texts(self._choose_files(files)):
            try:
                content = _parse(data)
                if content is None:
                    expected = "COCO with boxes or outlines; task image_text_matching reads captions"
                    self.issues.add("file_ignored", at=Location(file=file), expected=expected)
                else:
                    self._add_annotations(annotations, file, content, files)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file))
        for image in files.images:
            if image not in annotations:
                self.issues.add("image_not_listed", at=Location(file=image))
        yield from files.batches(annotations)

    def _choose_files(self, files: UploadFiles) -> list[str]:
        """Return the files to read; beside instances, those of whole scenes repeat the same objects."""
        names = {file: PurePosixPath(file).name.lower() for file in files.with_suffix(".json")}
        if not any(name.startswith(INSTANCES) for name in names.values()):
            return list(names)
        for file, name in names.items():
            if name.startswith(REPEATING_PREFIXES):
                self.issues.add("file_ignored", at=Location(file=file), expected=f"{INSTANCES}*.json, which is read")
        return [file for file, name in names.items() if not name.startswith(REPEATING_PREFIXES)]

    def _add_annotations(
        self, annotations: dict[str, ImageAnnotation], file: str, content: Mapping[str, Any], files: UploadFiles
    ) -> None:
        """Add the annotations of one JSON file by image.

        An image that is missing, or has an annotation already, becomes an issue.
        """
        class_names = {class_id: category.get("name") for class_id, category in _by_id(content, "categories").items()}
        image_entries = _by_id(content, "images")
        objects = self._group_objects(file, content, class_names, image_entries)
        named_split = find_split(PurePosixPath(file).name)
        for row, (image_id, entry) in enumerate(image_entries.items(), start=1):
            image = files.find_image(str(entry.get("file_name") or ""), near=file)
            at = Location(file=file, row=row, column="images")
            if image is None:
                self.issues.add("image_missing", at=at, actual=entry.get("file_name"), rows=1)
                continue
            size = (entry.get("width"), entry.get("height"))
            checked_size = size if all(isinstance(side, int) for side in size) else None
            split = files.choose_split(image, file, named_split)
            annotation = ImageAnnotation(objects[image_id], split, checked_size)  # type: ignore[arg-type]
            add_annotation(annotations, image, annotation, at, self.issues)

    def _group_objects(
        self,
        file: str,
        content: Mapping[str, Any],
        class_names: Mapping[str, Any],
        image_entries: Mapping[str, Any],
    ) -> Mapping[str, list[dict[str, Any]]]:
        """Group the objects by image id; one that cannot be used becomes an issue."""
        objects: dict[str, list[dict[str, Any]]] = defaultdict(list)
        entries = _read_section(content, "annotations")
        reader = _ObjectReader(self.issues, file, are_painted=_are_painted(content))
        reader.count_unread(content)
        ids: set[str] = set()
        for row, entry in enumerate(entries, start=1):
            at = Location(file=file, row=row, column="annotations")
            image_id, class_id = _to_key(entry.get("image_id")), _to_key(entry.get("category_id"))
            if "id" in entry and _to_key(entry["id"]) in ids:
                self.issues.add("annotation_ids_twice", at=at, actual=f"id {entry['id']}")
            ids.add(_to_key(entry.get("id")))
            if image_id not in image_entries:
                self.issues.add("annotation_without_image", at=at, actual=f"image_id {entry.get('image_id')}")
            elif class_id not in class_names:
                listed = ", ".join(list(class_names)[:MAX_LISTED_CLASSES])
                actual = f"category_id {entry.get('category_id')}"
                self.issues.add("class_unknown", at=at, actual=actual, expected=f"one of {listed}")
            else:
                try:
                    objects[image_id].append({"label": class_names[class_id], **reader.read(entry, at)})
                except DataRejected as rejection:
                    self.issues.record(rejection, at=at)
        reader.unused_parts.report(self.issues)
        return objects


class _ObjectReader:
    """Reads box and crowd mark of annotations, and counts what else they have."""

    def __init__(self, issues: IssueLog, file: str, *, are_painted: bool) -> None:
        self._issues = issues
        self._are_painted = are_painted
        self.unused_parts = UnusedParts(file)

    def count_unread(self, content: Mapping[str, Any]) -> None:
        """Count the fields of a file that say nothing about the box of an object."""
        self.unused_parts.add_fields(content, SECTIONS)
        for section, used in USED_FIELDS.items():
            for entry in content[section]:
                self.unused_parts.add_fields(entry, used, prefix=f"{section}.")

    def read(self, entry: Mapping[str, Any], at: Location) -> dict[str, Any]:
        """Return `box`, and `crowd` if it is one; raises `DataRejected` for an invalid outline."""
        attributes = entry.get("attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        for part in PARTS:
            if entry.get(part):
                self.unused_parts.add(part)
        self.unused_parts.add_attributes(attributes)
        box = to_corners(entry.get("bbox"))
        outline = entry.get("segmentation")
        if outline and _is_empty(entry.get("bbox")):
            box = _enclose(outline)
            self._issues.add("outline_as_box", at=at)
        angle = _to_angle(attributes.get("rotation"))
        if angle and _is_rectangle(outline) and all(isinstance(side, float) for side in box):
            box = enclose_turned(box, angle)
            self._issues.add("box_turned", at=at, actual=f"rotation {angle:g}")
        if not entry.get("iscrowd"):
            return {"box": box}
        if self._are_painted and isinstance(outline, dict):
            self._issues.add("painted_mask_as_object", at=at)
            return {"box": box}
        self._issues.add("objects_as_crowd", at=at)
        return {"box": box, "crowd": True}


def _is_usual_name(name: str) -> bool:
    return name in EXPORT_NAMES or (any(word in name for word in USUAL_NAME_WORDS) and "caption" not in name)


def _has_sections(start: bytes) -> bool:
    """Return whether a file of any name begins as COCO with objects does."""
    text = start.decode("utf-8", "replace")
    has_images = re.search(r'"images"\s*:\s*\[', text) is not None and '"file_name"' in text
    return (
        has_images and '"caption"' not in text and re.search(r'"(bbox|segmentation|supercategory)"', text) is not None
    )


def _parse(data: bytes) -> Mapping[str, Any] | None:
    """Return the content of a file.

    None for captions and panoptic segments, which bring no objects.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="JSON") from None
    if isinstance(content, dict) and all(isinstance(content.get(section), list) for section in SECTIONS):
        return None if _is_panoptic(content["annotations"]) else content
    if isinstance(content, dict) and isinstance(content.get("images"), list) and _has_captions(content):
        return None
    actual = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise DataRejected("annotation_invalid", actual=actual, expected=f"an object with lists of {', '.join(SECTIONS)}")


def _has_captions(content: Mapping[str, Any]) -> bool:
    entries = content.get("annotations")
    return isinstance(entries, list) and bool(entries) and all("caption" in entry for entry in entries)


def _is_panoptic(entries: Sequence[Any]) -> bool:
    return bool(entries) and all(isinstance(entry, dict) and "segments_info" in entry for entry in entries)


def _are_painted(content: Mapping[str, Any]) -> bool:
    """Return whether masks are single objects although all are marked as crowds.

    CVAT and Datumaro write them so. Their files have a license and an info without any text, or `attributes` on every
    annotation, which files of COCO itself do not have.
    """
    entries = content["annotations"]
    masks = [entry for entry in entries if isinstance(entry.get("segmentation"), dict)]
    info, licenses = content.get("info"), content.get("licenses")
    is_blank = isinstance(info, dict) and bool(info) and not any(info.values())
    is_blank = is_blank and isinstance(licenses, list) and licenses == [BLANK_LICENSE]
    is_written_so = is_blank or all("attributes" in entry for entry in entries)
    return is_written_so and all(entry.get("iscrowd") for entry in masks)


def _enclose(outline: Any) -> list[float]:
    """Return the box around polygons or a mask of run lengths; raises `DataRejected`."""
    if isinstance(outline, dict):
        box = enclose_mask(outline)
        return [0.0, 0.0, 0.0, 0.0] if box is None else box
    parts = outline if isinstance(outline, list) else []
    polygons = parts if parts and all(isinstance(polygon, list) for polygon in parts) else [parts]
    return enclose(list(zip(*[iter(value for polygon in polygons for value in polygon)] * 2, strict=False)))


def _is_empty(box: Any) -> bool:
    """Return whether a box is absent, or has neither width nor height."""
    return not box or (isinstance(box, list) and len(box) == 4 and box[2:] == [0, 0])


def _is_rectangle(outline: Any) -> bool:
    """Return whether an outline is absent, or one polygon of four corners."""
    is_polygon = isinstance(outline, list) and len(outline) == 1 and isinstance(outline[0], list)
    return not outline or (is_polygon and len(outline[0]) == RECTANGLE_VALUES)


def _to_angle(value: Any) -> float:
    try:
        return float(value or 0) % 360
    except (TypeError, ValueError):
        return 0.0


def _to_key(value: Any) -> str:
    """Return an id as text: tools write 1, 1.0 or "1" for one id."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _by_id(content: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a section by id; raises `DataRejected` if two have the same."""
    entries: dict[str, dict[str, Any]] = {}
    for entry in _read_section(content, section):
        key = _to_key(entry.get("id"))
        if key in entries:
            actual = f"{section}: id {entry.get('id')} twice"
            raise DataRejected("annotation_invalid", actual=actual, expected="unique ids")
        entries[key] = entry
    return entries


def _read_section(content: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """Return the entries of a section.

    Raises `DataRejected` if one is no object or has an invalid id.
    """
    for entry in content[section]:
        if not isinstance(entry, dict) or not isinstance(entry.get("id", 0), str | int | float):
            raise DataRejected("annotation_invalid", actual=f"{section}: {entry}", expected="objects with an id")
    entries: list[dict[str, Any]] = content[section]
    return entries
