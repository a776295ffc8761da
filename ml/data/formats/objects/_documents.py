"""Base class of formats whose files describe the objects of images.

They are recognized by their content.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files import images
from ml.data.files.upload import find_split
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles, add_annotation
from ml.data.formats.objects._parts import UnusedParts
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

#: More than formats that are recognized by names alone.
SURE: Final = 3


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Objects of one image in a document."""

    #: Names of the image, the likeliest first; they may have folders, and lack the suffix.
    names: Sequence[str]
    objects: Sequence[Mapping[str, Any]]
    at: Location
    #: Width and height, if the document names them.
    size: tuple[int, int] | None = None
    split: str | None = None
    #: Returns the encoded image from the content of the document, for an image that is not in the upload.
    extract: Callable[[bytes], bytes] | None = None


class DocumentFormat(Format):
    """Images in archives or on their own, with documents in them or beside them."""

    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image", "json", "json list", "text"})
    #: Suffixes of the documents, in lower case.
    suffixes: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def recognize(cls, start: bytes) -> bool:
        """Return whether a file that begins with `start` is a document of this format."""

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for images with a document of this format."""
        has_images = any(
            source.content == "image" or any(is_image(name) for name in source.member_names) for source in sources
        )
        starts = (
            start
            for source in sources
            for name, start in source.text_starts.items()
            if PurePosixPath(name).suffix.lower() in cls.suffixes
        )
        is_known = any(cls.recognize(start) and (has_images or cls.has_images(start)) for start in starts)
        return SURE * super().detect(sources, required) * is_known

    @classmethod
    def has_images(cls, start: bytes) -> bool:
        """Return whether a document that begins with `start` may hold its image."""
        return False

    def read(self) -> Iterator[Batch]:
        """Yield the images that documents describe, in the order of the archives."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        yield from files.batches(self.read_annotations(files))

    def read_annotations(self, files: UploadFiles) -> dict[str, ImageAnnotation]:
        """Return the annotations by image, and report images and documents that are not used."""
        annotations: dict[str, ImageAnnotation] = {}
        documents = files.with_suffix(*self.suffixes)
        # Counted over all documents: of a file for each image, the samples of an issue name only the first ones.
        unused_parts = UnusedParts(documents[0] if len(documents) == 1 else None)
        for file, data in files.read_texts(documents):
            try:
                for record in self.parse(file, data, files, unused_parts):
                    self._add(annotations, file, record, files)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file))
        unused_parts.report(self.issues)
        for image in files.images:
            if image not in annotations:
                self.issues.add("image_not_listed", at=Location(file=image))
        return annotations

    @abstractmethod
    def parse(self, file: str, data: bytes, files: UploadFiles, unused_parts: UnusedParts) -> Iterator[ImageRecord]:
        """Yield the images of a document; raises `DataRejected` if it is of another format.

        What it defines beyond class and box of objects is added to `unused_parts`.
        """

    def _add(self, annotations: dict[str, ImageAnnotation], file: str, record: ImageRecord, files: UploadFiles) -> None:
        matches = (files.find_image(name, near=file) for name in record.names if name)
        image = next((image for image in matches if image is not None), None)
        if image is None and record.extract is not None:
            image = files.add_embedded(file, record.extract)
        if image is None:
            self.issues.add("image_missing", at=record.at, actual=next(iter(record.names), None), rows=1)
            return
        split = files.choose_split(image, file, record.split or find_split(PurePosixPath(file).name))
        add_annotation(annotations, image, ImageAnnotation(record.objects, split, record.size), record.at, self.issues)


def is_image(name: str) -> bool:
    """Return whether a file is an image, by its suffix."""
    return PurePosixPath(name).suffix.lower() in images.SUFFIXES


def parse_json(data: bytes) -> Any:
    """Return a JSON value; raises `DataRejected` if there is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="JSON") from None


def texts_by_tag(element: Element) -> dict[str, str]:
    """Return the whole text within each child of an XML element, by tag."""
    return {child.tag: "".join(child.itertext()).strip() for child in element}


def to_list(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def to_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def to_number(value: Any) -> float:
    """Return a number; raises `DataRejected` if there is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataRejected("box_not_numbers", actual=value, expected="a number") from None


def to_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return width and height if both are positive integers, perhaps as text; None otherwise."""
    sides = [str(side).strip() for side in (width, height)]
    return (int(sides[0]), int(sides[1])) if all(side.isdecimal() for side in sides) and "0" not in sides else None
