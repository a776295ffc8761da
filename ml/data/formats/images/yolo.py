"""YOLO: a text file per image with an object per line.

A line holds the number of the class, then center x, center y, width and height as fractions of the image's sides.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files.ignored import is_ignored
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

SURE: Final = 2
CLASS_LIST_NAMES: Final = ("classes.txt", "obj.names", "labels.txt", "names.txt")
#: Text files about the whole dataset, not about one image.
DATASET_FILE_NAMES: Final = (*CLASS_LIST_NAMES, "train.txt", "val.txt", "valid.txt", "test.txt")
MAX_YAML_BYTES: Final = 1 << 20
#: A class number and three corners of a polygon.
MIN_POLYGON_CELLS: Final = 7
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
        """Return a sure sign for a folder of labels or a list of class names.

        Either must lie beside text files.
        """
        names = [name.lower() for source in sources for name in source.member_names]
        texts = [name for name in names if name.endswith(".txt")]
        has_labels_folder = any("labels/" in name for name in texts)
        has_class_list = any(name.endswith((".yaml", ".yml", "classes.txt", "obj.names")) for name in names)
        return super().detect(sources, required) * SURE * bool(texts and (has_labels_folder or has_class_list))

    def read(self) -> Iterator[Batch]:
        """Yield every image; one without a text file has no objects."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        class_names = self._read_class_names(files)
        annotations: dict[str, ImageAnnotation] = {}
        texts = [file for file in files.with_suffix(".txt") if not _is_dataset_file(PurePosixPath(file).name)]
        for file, data in files.read_texts(texts):
            stem = PurePosixPath(file).stem
            image = files.find_image(stem, near=file, image_folder=_image_folder)
            if image is None:
                self.issues.add("picture_missing", at=Location(file=file), actual=stem, rows=1)
                continue
            annotations[image] = ImageAnnotation(self._read_objects(file, data, class_names), files.split_of(file))
        for image in files.images:
            annotations.setdefault(image, ImageAnnotation([], files.split_of(image)))
        yield from files.batches(annotations)

    def _read_objects(self, file: str, data: bytes, class_names: Mapping[int, str]) -> list[dict[str, Any]]:
        objects = []
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            if line.strip():
                at = Location(file=file, line=number)
                try:
                    objects.append(_parse_object(line, class_names))
                    if _is_polygon(line.split()):
                        self.issues.add("outline_as_box", at=at)
                except DataRejected as rejection:
                    self.issues.record(rejection, at=at, rows=1)
        return objects

    def _read_class_names(self, files: UploadFiles) -> dict[int, str]:
        """Return the class names by number; empty without any.

        The first file that lists them decides; differing lists become an issue.
        """
        names_by_file: dict[str, dict[int, str]] = {}
        for file, data in files.read_texts(files.with_suffix(".yaml", ".yml")):
            try:
                names_by_file[file] = _parse_yaml(data)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file))
        lists = [
            file for file in files.with_suffix(".txt", ".names") if PurePosixPath(file).name.lower() in CLASS_LIST_NAMES
        ]
        for file, data in files.read_texts(lists):
            lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
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


def _is_dataset_file(name: str) -> bool:
    return name.lower() in DATASET_FILE_NAMES or is_ignored(name)


def _parse_object(line: str, class_names: Mapping[int, str]) -> dict[str, Any]:
    """Parse one line to a label and a box; a polygon to its bounding box.

    The box is left, top, right, bottom as fractions.
    """
    cells = line.split()
    is_polygon = _is_polygon(cells)
    try:
        code, *fractions = map(float, cells if is_polygon else cells[:5])
        is_valid = (is_polygon or len(cells) in (5, 6)) and code.is_integer() and all(map(math.isfinite, fractions))
    except ValueError:
        is_valid = False
    if not is_valid:
        raise DataRejected("annotation_invalid", actual=line, expected="class x y width height")
    if max(map(abs, fractions)) > MAX_FRACTION:
        raise DataRejected("box_not_in_shares", actual=line, expected="x y width height from 0 to 1")
    if class_names and int(code) not in class_names:
        raise DataRejected("class_unknown", actual=f"class {int(code)}", expected=f"0 to {max(class_names)}")
    label = class_names.get(int(code), str(int(code)))
    if is_polygon:
        xs, ys = fractions[::2], fractions[1::2]
        return {"label": label, "relative_box": [min(xs), min(ys), max(xs), max(ys)]}
    x, y, width, height = fractions
    return {"label": label, "relative_box": [x - width / 2, y - height / 2, x + width / 2, y + height / 2]}


def _is_polygon(cells: Sequence[str]) -> bool:
    """Return whether a line has three corners or more, as for segmentation and rotated boxes."""
    return len(cells) >= MIN_POLYGON_CELLS and len(cells) % 2 == 1


def _parse_yaml(data: bytes) -> dict[int, str]:
    """Return the class names of a `data.yaml` by number; empty if it lists none."""
    # Imported here, because only YOLO datasets need it.
    import yaml

    try:
        if len(data) > MAX_YAML_BYTES:
            expected = f"at most {MAX_YAML_BYTES:,}"
            raise DataRejected("annotation_invalid", actual=f"{len(data):,} bytes", expected=expected)
        content = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="YAML") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return {code: str(name) for code, name in enumerate(names)}
    if isinstance(names, dict) and all(isinstance(code, int) for code in names):
        return {code: str(name) for code, name in names.items()}
    return {}


def _image_folder(folder: str) -> str:
    """Return the folder of images for a folder of labels: `train/labels` -> `train/images`."""
    return str(PurePosixPath(*("images" if part == "labels" else part for part in PurePosixPath(folder).parts)))
