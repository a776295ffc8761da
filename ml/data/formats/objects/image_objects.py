"""A JSON file of objects beside each image, as in shards of WebDataset: 000001.jpg, 000001.json."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.column_types.objects import COCO_BOX_NAMES, CROWD_NAMES, LABEL_NAMES, ObjectsType
from ml.data.formats.objects._documents import (
    DocumentFormat,
    ImageRecord,
    is_image,
    parse_json,
    to_list,
    to_mapping,
    to_size,
)
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

#: Fields with a list of objects.
LIST_NAMES: Final = ("objects", "annotations", "boxes", "detections")
#: Fields of an object that are read.
USED_FIELDS: Final = ("box", *COCO_BOX_NAMES, *LABEL_NAMES, *CROWD_NAMES)
_BOXES: Final = re.compile(rb'"(?:box|boxes|bbox|bboxes)"\s*:')


class ImageObjects(DocumentFormat):
    """`<name>.json` beside `<name>.jpg`: `{"objects": [{"label": "cat", "box": [left, top, right, bottom]}]}`."""

    name = "image_objects"
    summary = "Zip or tar (WebDataset shards) of images with a JSON file of objects beside each, of the same name"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether JSON is an object with boxes."""
        return start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and _BOXES.search(start) is not None

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if JSON with boxes has the names of images."""
        names = [name for source in sources for name in (source.name, *source.member_names)]
        image_stems = {str(PurePosixPath(name).with_suffix("")) for name in names if is_image(name)}
        json_names = [name for name in names if name.lower().endswith(cls.suffixes)]
        are_paired = bool(json_names) and all(
            str(PurePosixPath(name).with_suffix("")) in image_stems for name in json_names
        )
        # Other formats of a file for each image have marks of their own.
        return super().detect(sources, required) / 2 * are_paired

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the image beside the file."""
        content = parse_json(data)
        if not isinstance(content, dict):
            raise DataRejected("annotation_invalid", actual=type(content).__name__, expected="an object with objects")
        name = next((name for name in LIST_NAMES if name in content), None)
        objects = _objects(content, name)
        used = {name, *COCO_BOX_NAMES, *LABEL_NAMES, "width", "height"}
        unused_parts.add_attributes({field: value for field, value in content.items() if field not in used})
        for item in filter(None, map(to_mapping, to_list(content.get(name)))):
            unused_parts.add_fields(item, USED_FIELDS, prefix=f"{name}.")
        size = to_size(content.get("width"), content.get("height"))
        path = PurePosixPath(file)
        image = files.find_exactly(path.with_suffix("").parts, near=file)
        yield ImageRecord([image or path.stem], objects, Location(file=file), size)


def _objects(content: Mapping[str, Any], name: str | None) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a file; raises `DataRejected`."""
    items = content.get(name) if name else None
    if isinstance(items, list) and all(isinstance(item, dict) for item in items):
        return ObjectsType.from_cell(items).objects
    if isinstance(items, dict):
        return ObjectsType.from_cell(items).objects
    # Lists with a value for each object: boxes with corners (torchvision), or COCO boxes.
    boxes = next((box for box in ("boxes", *COCO_BOX_NAMES) if box in content), None)
    labels = next((label for label in LABEL_NAMES if isinstance(content.get(label), list)), None)
    if boxes is None or labels is None:
        raise DataRejected("objects_not_a_list", actual=", ".join(content))
    cell = {"box" if boxes == "boxes" else "bbox": content[boxes], "label": content[labels]}
    return ObjectsType.from_cell(cell).objects
