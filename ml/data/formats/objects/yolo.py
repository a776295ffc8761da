"""YOLO: a text file per image with an object per line.

A line holds the number of the class, then center x, center y, width and height as fractions of the image's sides; in
files for poses the keypoints follow. https://docs.ultralytics.com/datasets/.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files import images
from ml.data.files.ignored import is_ignored
from ml.data.files.upload import find_split
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles, add_annotation
from ml.data.formats.objects._parts import UnusedParts
from ml.data.formats.objects._yolo_settings import (
    Keypoints,
    YoloSettings,
    parse_darknet_data,
    parse_yaml,
    read_listed_splits,
)
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

SURE: Final = 2
LIKELY: Final = 1.2
CLASS_LIST_NAMES: Final = ("classes.txt", "obj.names", "labels.txt", "names.txt", "_darknet.labels")
#: A class number and three corners of a polygon.
MIN_POLYGON_CELLS: Final = 7
#: Cells of a line for a box: class, x, y, width, height.
BOX_CELLS: Final = 5
#: Values of a keypoint's visibility: not labeled, hidden, visible.
VISIBILITIES: Final = (0, 1, 2)
#: Fraction of the image by which a keypoint may lie outside its box: annotators round.
KEYPOINT_TOLERANCE: Final = 0.02
#: A fraction is at most about 1; a larger number is in pixels.
MAX_FRACTION: Final = 1.5


class Yolo(Format):
    """`images/`, `labels/<image>.txt`, with split folders above or below; `data.yaml` or `classes.txt`."""

    name = "yolo"
    summary = "YOLO in zip or tar: images, a text file of boxes for each, data.yaml or classes.txt for the names"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for texts beside a labels folder or class list.

        If a task requires objects, texts named like the images are a sign as well.
        """
        names = [name.lower() for source in sources for name in source.member_names]
        texts = [name for name in names if name.endswith(".txt")]
        has_class_list = any(
            name.endswith((".yaml", ".yml", "classes.txt", "obj.names", "_darknet.labels")) for name in names
        )
        image_stems = {PurePosixPath(name).stem for name in names if PurePosixPath(name).suffix in images.SUFFIXES}
        has_texts_of_images = any(PurePosixPath(name).stem in image_stems for name in texts if not _is_note(name))
        # Lists of classes and splits lie beside images of a class each as well, as in CUB-200, Food-101 and DTD.
        labels = [name for name in texts if "labels/" in name]
        has_lists = any(find_split(PurePosixPath(name).stem) for name in labels)
        has_labels_folder = bool(labels) and (has_texts_of_images or not has_lists)
        if has_labels_folder or (has_class_list and has_texts_of_images):
            return super().detect(sources, required) * SURE
        is_likely = required is not None and has_texts_of_images
        return super().detect(sources, required) * LIKELY * is_likely

    def read(self) -> Iterator[Batch]:
        """Yield every image; one without a text file has no objects."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        settings = self._read_settings(files)
        class_names = self._read_class_names(files, settings)
        keypoints = next((content.keypoints for content in settings.values() if content.keypoints), None)
        image_of = {
            file: files.find_image(PurePosixPath(file).stem, near=file, image_folder=_image_folder)
            for file in files.with_suffix(".txt")
            if not _is_note(file)
        }
        candidates = [file for file, image in image_of.items() if image is None or find_split(PurePosixPath(file).stem)]
        lists = {file: data for file, data in files.read_texts(candidates) if _is_list(file, data)}
        splits = read_listed_splits(files, settings, lists, self.issues)
        annotations: dict[str, ImageAnnotation] = {}
        for file, data in files.read_texts(image_of.keys() - lists.keys()):
            image = image_of[file]
            if image is not None:
                objects = self._read_objects(file, data, class_names, keypoints)
                annotation = ImageAnnotation(objects, files.choose_split(image, file, splits.get(image)))
                add_annotation(annotations, image, annotation, Location(file=file), self.issues)
            elif data.strip():
                self.issues.add("image_missing", at=Location(file=file), actual=PurePosixPath(file).stem, rows=1)
        for image in files.images:
            split = files.choose_split(image, image, splits.get(image))
            annotations.setdefault(image, ImageAnnotation([], split))
        yield from files.batches(annotations)

    def _read_objects(
        self, file: str, data: bytes, class_names: Mapping[int, str], keypoints: Keypoints | None
    ) -> list[dict[str, Any]]:
        lines = [(number, line) for number, line in enumerate(_decode_lines(data), start=1) if line.strip()]
        if keypoints is None and lines:
            keypoints = _guess_keypoints([line.split() for _, line in lines])
        objects = []
        for number, line in lines:
            at = Location(file=file, line=number)
            try:
                annotated, code = _parse_object(line, class_names, keypoints)
            except DataRejected as rejection:
                self.issues.record(rejection, at=at, rows=1)
                continue
            objects.append(annotated)
            if keypoints is None and len(line.split()) == BOX_CELLS + 1:
                self.issues.add("annotation_parts_not_read", at=at, actual="confidence")
            if code:
                self.issues.add(code, at=at)
        return objects

    def _read_settings(self, files: UploadFiles) -> dict[str, YoloSettings]:
        """Return the settings in YAML and `obj.data` files, by file."""
        settings: dict[str, YoloSettings] = {}
        for file, data in files.read_texts(files.with_suffix(".yaml", ".yml", ".data")):
            try:
                parse = parse_darknet_data if file.endswith(".data") else parse_yaml
                settings[file] = parse(data)
                unused_parts = UnusedParts(file)
                unused_parts.add_fields(dict.fromkeys(settings[file].unread, True))
                unused_parts.report(self.issues)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file))
        return settings

    def _read_class_names(self, files: UploadFiles, settings: Mapping[str, YoloSettings]) -> dict[int, str]:
        """Return the class names by number; empty without any.

        The first file that lists them decides; differing lists become an issue.
        """
        names_by_file = {file: dict(content.class_names) for file, content in settings.items()}
        lists = [
            file
            for file in files.with_suffix(".txt", ".names", ".labels")
            if PurePosixPath(file).name.lower() in CLASS_LIST_NAMES
        ]
        for file, data in files.read_texts(lists):
            lines = [line.strip() for line in _decode_lines(data)]
            names_by_file[file] = dict(enumerate(line for line in lines if line))
        names_by_file = {file: names for file, names in names_by_file.items() if names}
        first_file, class_names = next(iter(names_by_file.items()), ("", {}))
        for file, names in names_by_file.items():
            if names != class_names:
                expected = f"{', '.join(class_names.values())}, as in {first_file}"
                at = Location(file=file)
                self.issues.add("class_names_differ", at=at, actual=", ".join(names.values()), expected=expected)
        if not class_names:
            self.issues.add("classes_without_names", expected="data.yaml or classes.txt")
        return class_names


def _decode_lines(data: bytes) -> list[str]:
    return data.decode("utf-8-sig", "replace").splitlines()


def _is_note(file: str) -> bool:
    """Return whether a text file is about the whole dataset, not about one image."""
    name = PurePosixPath(file).name
    return name.lower() in CLASS_LIST_NAMES or is_ignored(name)


def _is_list(file: str, data: bytes) -> bool:
    """Return whether a text lists images: it names one in its first line.

    The names may lack their suffix in a list that is named like a split.
    """
    first = next((line.strip() for line in _decode_lines(data) if line.strip()), "")
    if PurePosixPath(first.replace("\\", "/")).suffix.lower() in images.SUFFIXES:
        return True
    return find_split(PurePosixPath(file).stem) is not None and len(first.split()) == 1


def _parse_object(
    line: str, class_names: Mapping[int, str], keypoints: Keypoints | None
) -> tuple[dict[str, Any], str | None]:
    """Parse one line to an object, and a code for its further cells.

    The box is left, top, right, bottom as fractions. A polygon becomes its bounding box.
    """
    cells = line.split()
    has_keypoints = keypoints is not None and len(cells) == BOX_CELLS + keypoints.cells
    # A file for poses has no polygons.
    is_polygon = keypoints is None and len(cells) >= MIN_POLYGON_CELLS and len(cells) % 2 == 1
    try:
        code, *fractions = map(float, cells if is_polygon else cells[:BOX_CELLS])
        is_valid = is_polygon or has_keypoints or len(cells) in (BOX_CELLS, BOX_CELLS + 1)
        is_valid = is_valid and code.is_integer() and all(map(math.isfinite, fractions))
    except ValueError:
        is_valid = False
    if not is_valid:
        form = "class x y width height"
        form += f" and {keypoints.count} keypoints of {keypoints.values}" if keypoints else ""
        raise DataRejected("annotation_invalid", actual=line, expected=form)
    if max(map(abs, fractions)) > MAX_FRACTION:
        raise DataRejected("box_not_in_fractions", actual=line, expected="x y width height from 0 to 1")
    if class_names and int(code) not in class_names:
        raise DataRejected("class_unknown", actual=f"class {int(code)}", expected=f"0 to {max(class_names)}")
    label = class_names.get(int(code), str(int(code)))
    if is_polygon:
        xs, ys = fractions[::2], fractions[1::2]
        return {"label": label, "relative_box": [min(xs), min(ys), max(xs), max(ys)]}, "outline_as_box"
    x, y, width, height = fractions
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return {"label": label, "relative_box": box}, "keypoints_not_read" if has_keypoints else None


def _guess_keypoints(lines: Sequence[Sequence[str]]) -> Keypoints | None:
    """Recognize keypoints with visibility by their cells; None for something else.

    All lines of a file then have as many cells, every third after the box is a visibility, and no labeled point is far
    from its box.
    """
    count, remainder = divmod(len(lines[0]) - BOX_CELLS, 3)
    if count < 1 or remainder or any(len(cells) != len(lines[0]) for cells in lines):
        return None
    try:
        numbers = [[float(cell) for cell in cells[1:]] for cells in lines]
    except ValueError:
        return None
    return Keypoints(count, 3) if all(_are_keypoints(*row) for row in numbers) else None


def _are_keypoints(x: float, y: float, width: float, height: float, *values: float) -> bool:
    """Return whether values are x, y, visibility of points near the box."""
    points = list(zip(values[::3], values[1::3], values[2::3], strict=True))
    reach_x, reach_y = width / 2 + KEYPOINT_TOLERANCE, height / 2 + KEYPOINT_TOLERANCE
    if not (width > 0 and height > 0 and any(values[2::3])):
        return False
    return all(
        visibility in VISIBILITIES and (not visibility or (abs(left - x) <= reach_x and abs(top - y) <= reach_y))
        for left, top, visibility in points
    )


def _image_folder(folder: str) -> str:
    """Return the folder of images for a folder of labels: `train/labels` -> `train/images`."""
    return str(PurePosixPath(*("images" if part == "labels" else part for part in PurePosixPath(folder).parts)))
