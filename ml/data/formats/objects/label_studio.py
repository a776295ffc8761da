"""Label Studio: JSON, JSON-MIN and CSV of tasks with regions in percent.

https://labelstud.io/guide/export.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ml.data.formats.objects._boxes import enclose, enclose_turned, enclose_turned_ellipse
from ml.data.formats.objects._documents import (
    DocumentFormat,
    ImageRecord,
    is_image,
    parse_json,
    to_list,
    to_mapping,
    to_number,
    to_size,
)
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.formats.objects._parts import UnusedParts

#: Regions with an area; the last three have their label in another region of the same id.
AREAS: Final = ("rectanglelabels", "polygonlabels", "ellipselabels", "rectangle", "polygon", "ellipse")
#: Eight hexadecimal digits that Label Studio puts before the name of an uploaded file.
_PREFIX: Final = re.compile(r"^[0-9a-f]{8}-")
_MAX_CELL_CHARACTERS: Final = 8 << 20
PERCENT: Final = 100
#: Fields that are read.
USED_TASK_FIELDS: Final = ("annotations", "completions", "data", "file_upload")
USED_ANNOTATION_FIELDS: Final = ("result", "was_cancelled", "ground_truth", "updated_at", "id")
USED_REGION_FIELDS: Final = frozenset(
    {
        *("id", "type", "value", "original_width", "original_height", "x", "y", "width", "height", "rotation"),
        *("points", "radiusX", "radiusY", "closed", "labels", *AREAS),
    }
)


class LabelStudio(DocumentFormat):
    """A list of tasks, each with an image and the regions of its annotations."""

    name = "label_studio"
    summary = "Label Studio: zip or tar of images, and its JSON, JSON-MIN or CSV (boxes, polygons, ellipses)"
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".csv")

    @classmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether a list of tasks has regions of images."""
        if b'original_width"' not in start and not any(f'"{kind}"'.encode() in start for kind in AREAS[:3]):
            return False
        is_list = start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[")
        return is_list or (not start.lstrip().startswith(b"{") and b"," in start.partition(b"\n")[0])

    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the image of every task that someone has annotated."""
        is_csv = PurePosixPath(file).suffix.lower() == ".csv"
        tasks = _read_csv(data) if is_csv else parse_json(data)
        if isinstance(tasks, list):
            # The converter of the tool joins several files to a list of lists.
            tasks = [task for item in tasks for task in (item if isinstance(item, list) else [item])]
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise DataRejected("annotation_invalid", actual=type(tasks).__name__, expected="a list of tasks")
        for row, task in enumerate(tasks, start=1):
            at = Location(file=file, row=row)
            _count_unread(task, unused_parts)
            regions = self._choose_regions(task, at, unused_parts)
            if regions is None:
                self.issues.add("image_not_annotated", at=at, actual=_image_url(task))
                continue
            objects = list(self._read_regions(regions, at, unused_parts))
            sizes = (to_size(region.get("original_width"), region.get("original_height")) for region in regions)
            yield ImageRecord(_image_names(task), objects, at, next(filter(None, sizes), None))

    def _choose_regions(
        self, task: Mapping[str, Any], at: Location, unused_parts: UnusedParts
    ) -> list[dict[str, Any]] | None:
        """Return the regions of one annotation.

        That is the ground truth, or else the one that was updated last. None if the
        task was not annotated, or all have skipped it.
        """
        if "annotations" not in task and "completions" not in task:
            regions = [region for cell in task.values() for region in _parse_cell(cell)]
            return regions if regions or "annotator" in task or "annotation_id" in task else None
        entries = [
            entry for entry in to_list(task.get("annotations") or task.get("completions")) if isinstance(entry, dict)
        ]
        annotations = [entry for entry in entries if not entry.get("was_cancelled")]
        if not annotations:
            return None
        chosen = max(
            annotations, key=lambda entry: (bool(entry.get("ground_truth")), str(entry.get("updated_at") or ""))
        )
        if len(annotations) > 1:
            actual = f"{len(annotations)} annotations"
            self.issues.add(
                "annotators_several", at=at, actual=actual, expected=f"id {chosen.get('id')}, which was read"
            )
        unused_parts.add_fields(chosen, USED_ANNOTATION_FIELDS, prefix="annotations.")
        return [region for region in to_list(chosen.get("result")) if isinstance(region, dict)]

    def _read_regions(
        self, regions: Sequence[Mapping[str, Any]], at: Location, unused_parts: UnusedParts
    ) -> Iterator[dict[str, Any]]:
        labels = {region.get("id"): _label_of(region) for region in regions if region.get("type") == "labels"}
        for region in regions:
            kind = str(region.get("type") or _kind_of(region))
            unused_parts.add_fields(region, USED_REGION_FIELDS, prefix="region.")
            if len(_labels_of(region)) > 1:
                unused_parts.add("further labels of a region")
            if kind not in AREAS:
                if kind != "labels":
                    unused_parts.add(kind)
                continue
            try:
                box = self._to_fractions(region, kind.removesuffix("labels"), at)
            except DataRejected as rejection:
                self.issues.record(rejection, at=at)
                continue
            yield {"label": _label_of(region) or labels.get(region.get("id")), "relative_box": box}

    def _to_fractions(self, region: Mapping[str, Any], kind: str, at: Location) -> list[float]:
        """Return the box around a region as fractions of the image; raises `DataRejected`."""
        value = _value_of(region)
        angle = to_number(value.get("rotation") or 0) % 360
        size = to_size(region.get("original_width"), region.get("original_height"))
        if angle and size is None:
            raise DataRejected("box_not_numbers", actual="a rotation", expected="original_width and original_height")
        # Angles are those of the image in pixels, so percentages are converted first.
        scale = [side / PERCENT for side in size or (PERCENT, PERCENT)]
        if kind == "polygon":
            points = to_list(value.get("points"))
            box = enclose([(to_number(x) * scale[0], to_number(y) * scale[1]) for x, y in map(_pair, points)])
        elif kind == "ellipse":
            x, y, radius_x, radius_y = (to_number(value.get(name)) for name in ("x", "y", "radiusX", "radiusY"))
            center, radii = (x * scale[0], y * scale[1]), (radius_x * scale[0], radius_y * scale[1])
            box = enclose_turned_ellipse(center, radii, angle)
        else:
            left, top, width, height = (to_number(value.get(name)) for name in ("x", "y", "width", "height"))
            left, top, width, height = left * scale[0], top * scale[1], width * scale[0], height * scale[1]
            box = enclose_turned([left, top, left + width, top + height], angle, about=(left, top))
        if kind != "rectangle":
            self.issues.add("outline_as_box", at=at, actual=kind)
        elif angle:
            self.issues.add("box_turned", at=at, actual=f"rotation {angle:g}")
        sides = size or (PERCENT, PERCENT)
        return [coordinate / side for coordinate, side in zip(box, (*sides, *sides), strict=True)]


def _pair(point: Any) -> tuple[Any, Any]:
    if not isinstance(point, list) or len(point) != 2:
        raise DataRejected("box_not_numbers", actual=point, expected="points of two numbers")
    return point[0], point[1]


def _value_of(region: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the shape of a region: JSON-MIN has it beside the labels."""
    return to_mapping(region.get("value")) or region


def _kind_of(region: Mapping[str, Any]) -> str:
    """Return the kind of a region by the name of its labels."""
    kinds = [name for name in region if name.endswith("labels")]
    if kinds:
        return kinds[0]
    return "polygon" if "points" in region else "rectangle" if "width" in region else "unknown"


def _label_of(region: Mapping[str, Any]) -> str | None:
    """Return the first label of a region."""
    labels = _labels_of(region)
    return str(labels[0]) if labels else None


def _labels_of(region: Mapping[str, Any]) -> Sequence[Any]:
    """Return the labels of a region; empty without any."""
    value = _value_of(region)
    names = (name for name in value if name.endswith("labels"))
    return next((value[name] for name in names if isinstance(value[name], list) and value[name]), ())


def _count_unread(task: Mapping[str, Any], unused_parts: UnusedParts) -> None:
    """Count the fields of a task and of its data that are not read."""
    if "annotations" in task or "completions" in task:
        unused_parts.add_fields(task, USED_TASK_FIELDS)
    url = _image_url(task)
    data = to_mapping(task.get("data"))
    unused_parts.add_fields({name: value for name, value in data.items() if value != url}, prefix="data.")


def _parse_cell(cell: Any) -> list[dict[str, Any]]:
    """Return the regions in a field of JSON-MIN or a cell of CSV."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return []
    if not isinstance(cell, list):
        return []
    return [item for item in cell if isinstance(item, dict) and (_kind_of(item) in AREAS or "original_width" in item)]


def _read_csv(data: bytes) -> list[dict[str, Any]]:
    """Return the rows of a CSV by column; raises `DataRejected` if it is invalid."""
    limit = csv.field_size_limit(_MAX_CELL_CHARACTERS)
    try:
        return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="CSV") from None
    finally:
        csv.field_size_limit(limit)


def _image_url(task: Mapping[str, Any]) -> str:
    """Return the image of a task: the first value that names one."""
    values = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in values.values() if isinstance(value, str)]
    candidates = [text for text in texts if is_image(urlsplit(text).path) or is_image(_local_path(text))]
    return (candidates or [str(task.get("file_upload") or values.get("image") or "")])[0]


def _image_names(task: Mapping[str, Any]) -> list[str]:
    """Return the names that the image of a task may have in the upload."""
    url = _image_url(task)
    paths = [_local_path(url), unquote(urlsplit(url).path).lstrip("/"), str(task.get("file_upload") or "")]
    names: list[str] = []
    for path in filter(None, paths):
        name = PurePosixPath(path).name
        names += [path, name, _PREFIX.sub("", name)]
    return names


def _local_path(url: str) -> str:
    """Return the path in `/data/local-files/?d=folder/image.png`; empty without one."""
    return next(iter(parse_qs(urlsplit(url).query).get("d", [])), "")
