"""YOLO: for each picture a text file, an object a line: number of its class, middle, width and height as shares."""

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
LIST_NAMES: Final = ("classes.txt", "obj.names", "labels.txt", "names.txt")
NOT_LABELS: Final = (*LIST_NAMES, "train.txt", "val.txt", "valid.txt", "test.txt")
LONGEST_YAML: Final = 1 << 20
FEWEST_OF_OUTLINE: Final = 7
"""A class and three corners."""
BEYOND: Final = 1.5
"""No share is near it; pixels are."""


class Yolo(Format):
    """`images/`, `labels/<picture>.txt`, with or without splits above or below; `data.yaml` or `classes.txt`."""

    name = "yolo"
    summary = "YOLO in zip or tar: pictures, a text file of boxes for each, data.yaml or classes.txt for the names"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """A folder of labels, or text files beside a list of names."""
        names = [name.lower() for source in sources for name in source.member_names]
        texts = [name for name in names if name.endswith(".txt")]
        in_labels = any("labels/" in name for name in texts)
        named = any(name.endswith((".yaml", ".yml", "classes.txt", "obj.names")) for name in names)
        return super().detect(sources, wanted) * SURE * bool(texts and (in_labels or named))

    def read(self) -> Iterator[Batch]:
        """Picture by picture; one without a text file shows nothing."""
        heap = UploadFiles(self.sources, self.issues, self.limits)
        names = self._names(heap)
        sheets: dict[str, ImageAnnotation] = {}
        texts = [file for file in heap.with_suffix(".txt") if not _is_beside(PurePosixPath(file).name)]
        for file, data in heap.texts(texts):
            picture = heap.picture(PurePosixPath(file).stem, near=file, elsewhere=_pictures_folder)
            if picture is None:
                self.issues.add("picture_missing", at=Location(file=file), actual=PurePosixPath(file).stem, rows=1)
                continue
            sheets[picture] = ImageAnnotation(self._objects(file, data, names), heap.split_of(file))
        for picture in heap.pictures:
            sheets.setdefault(picture, ImageAnnotation([], heap.split_of(picture)))
        yield from heap.batches(sheets)

    def _objects(self, file: str, data: bytes, names: Mapping[int, str]) -> list[dict[str, Any]]:
        objects = []
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            if line.strip():
                try:
                    objects.append(_object(line, names))
                    if _is_outline(line.split()):
                        self.issues.add("outline_as_box", at=Location(file=file, line=number))
                except DataRejected as refused:
                    self.issues.record(refused, at=Location(file=file, line=number), rows=1)
        return objects

    def _names(self, heap: UploadFiles) -> dict[int, str]:
        """Number of a class -> its name, by the first file that says so; empty where nothing tells."""
        told: dict[str, dict[int, str]] = {}
        for file, data in heap.texts(heap.with_suffix(".yaml", ".yml")):
            try:
                told[file] = _yaml_names(data)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=file))
        lists = [file for file in heap.with_suffix(".txt", ".names") if PurePosixPath(file).name.lower() in LIST_NAMES]
        for file, data in heap.texts(lists):
            lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
            told[file] = dict(enumerate(line for line in lines if line))
        told = {file: names for file, names in told.items() if names}
        first, found = next(iter(told.items()), ("", {}))
        for file, names in told.items():
            if names != found:
                shown, expected = ", ".join(names.values()), f"{', '.join(found.values())}, as in {first}"
                self.issues.add("class_names_differ", at=Location(file=file), actual=shown, expected=expected)
        if not found:
            self.issues.add("classes_without_names", expected="data.yaml or classes.txt")
        return found


def _is_beside(name: str) -> bool:
    """Whether a text file is about the whole, and not about one picture."""
    return name.lower() in NOT_LABELS or is_ignored(name)


def _object(line: str, names: Mapping[int, str]) -> dict[str, Any]:
    cells = line.split()
    outline = _is_outline(cells)
    try:
        code, *shares = map(float, cells if outline else cells[:5])
        usual = (outline or len(cells) in (5, 6)) and code.is_integer() and all(map(math.isfinite, shares))
    except ValueError:
        usual = False
    if not usual:
        raise DataRejected("annotation_invalid", actual=line, expected="class x y width height")
    if max(map(abs, shares)) > BEYOND:
        raise DataRejected("box_not_in_shares", actual=line, expected="x y width height from 0 to 1")
    if names and int(code) not in names:
        raise DataRejected("class_unknown", actual=f"class {int(code)}", expected=f"0 to {max(names)}")
    label = names.get(int(code), str(int(code)))
    if outline:
        return {"label": label, "shares": [min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])]}
    x, y, wide, high = shares
    return {"label": label, "shares": [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]}


def _is_outline(cells: Sequence[str]) -> bool:
    """Whether a line has three corners or more, as for segmentation and turned boxes, and not a box."""
    return len(cells) >= FEWEST_OF_OUTLINE and len(cells) % 2 == 1


def _yaml_names(data: bytes) -> dict[int, str]:
    # Not every import meets one.
    import yaml

    try:
        if len(data) > LONGEST_YAML:
            raise DataRejected(
                "annotation_invalid", actual=f"{len(data):,} bytes", expected=f"at most {LONGEST_YAML:,}"
            )
        content = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="YAML") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return {code: str(name) for code, name in enumerate(names)}
    if isinstance(names, dict) and all(isinstance(code, int) for code in names):
        return {code: str(name) for code, name in names.items()}
    return {}


def _pictures_folder(folder: str) -> str:
    """labels/train -> images/train, train/labels -> train/images."""
    return str(PurePosixPath(*("images" if part == "labels" else part for part in PurePosixPath(folder).parts)))
