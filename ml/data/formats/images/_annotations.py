"""Shared parts of the formats of images with annotated objects.

All files of an upload form one index, however many archives they came in: images and annotations may be packed apart.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.objects import AnnotatedObjects
from ml.data.files import images
from ml.data.files.archives import list_members, read_members
from ml.data.files.upload import folder_splits
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits


#: Splits in the order in which they decide on an image that is in several.
HELD_OUT_FIRST: Final = ("test", "validation", "train")


@dataclass(frozen=True, slots=True)
class ImageAnnotation:
    """Objects of one image.

    Each has a `box` in pixels, or a `relative_box` in fractions of the image's sides.
    """

    objects: Sequence[Mapping[str, Any]]
    split: str | None
    #: Width and height of the annotated image, if the annotation names them.
    size: tuple[int, int] | None = None


class UploadFiles:
    """The files of an upload by name (`archive.zip/folder/name`), with the sources that hold them."""

    def __init__(self, sources: Sequence[UploadedFile], issues: IssueLog, limits: Limits) -> None:
        self._issues = issues
        self._limits = limits
        self._archives: list[UploadedFile] = []
        self._loose: dict[str, UploadedFile] = {}
        self._source_of: dict[str, UploadedFile] = {}
        for source in sources:
            if source.content not in ("zip", "tar"):
                self._loose[source.name] = self._source_of[source.name] = source
                continue
            try:
                members = list_members(source, issues, limits)
            except DataRejected as rejection:
                issues.record(rejection, at=Location(file=source.name))
                continue
            self._archives.append(source)
            self._source_of |= dict.fromkeys((member.file for member in members), source)
        self._folder_splits = folder_splits(self._source_of)
        #: Image within an annotation -> the annotation's file, and how to extract it.
        self._embedded: dict[str, tuple[str, Callable[[bytes], bytes]]] = {}
        self.images = self.with_suffix(*images.SUFFIXES)
        self._images_by_name: dict[str, list[str]] = defaultdict(list)
        for file in self.images:
            self._images_by_name[PurePosixPath(file).name].append(file)
            self._images_by_name[PurePosixPath(file).stem].append(file)

    def with_suffix(self, *suffixes: str) -> list[str]:
        """List the files with one of the suffixes, which are in lower case."""
        return [file for file in self._source_of if PurePosixPath(file).suffix.lower() in suffixes]

    def with_suffix_other_than(self, *suffixes: str) -> list[str]:
        """List the files with none of the suffixes, which are in lower case."""
        return [file for file in self._source_of if PurePosixPath(file).suffix.lower() not in suffixes]

    def split_of(self, file: str) -> str | None:
        """Return the split of a file.

        The user's choice for the source has precedence over a folder above the file, and that over the source's name.
        """
        source = self._source_of[file]
        return source.requested_split or self._folder_splits[file] or source.split

    def requested_split_of(self, *files: str) -> str | None:
        """Return the first split that the user chose for the sources of `files`."""
        return next((split for file in files if (split := self._source_of[file].requested_split)), None)

    def choose_split(self, image: str, annotation: str, listed: str | None = None) -> str | None:
        """Return the split of an annotated image.

        The user's choice has precedence over `listed`, the split of a list that names the image, and that over the
        folders and archives of the annotation and of the image.
        """
        requested = self.requested_split_of(annotation, image)
        if requested or listed:
            return requested or listed
        folder_split = self._folder_splits[annotation] or self._folder_splits[image]
        return folder_split or self._source_of[annotation].split or self._source_of[image].split

    def find_image(
        self, name: str, *, near: str, image_folder: Callable[[str], str] = lambda folder: folder
    ) -> str | None:
        """Return the image called `name`; None if there is none.

        The name may have folders and a suffix, or not. If several match, the one nearest to the annotation `near` is
        chosen: in its folder, in the folder that `image_folder` derives from it, in its archive, or else in the same
        split.
        """
        parts = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).parts
        if not parts:
            return None
        matches = self._images_by_name.get(parts[-1]) or self._images_by_name.get(PurePosixPath(parts[-1]).stem) or []
        candidates = [file for file in matches if PurePosixPath(file).parts[-len(parts) : -1] == parts[:-1]] or matches
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        folder = str(PurePosixPath(near).parent)
        for candidate_folder in (folder, image_folder(folder)):
            in_folder = [file for file in candidates if str(PurePosixPath(file).parent) == candidate_folder]
            if in_folder:
                return in_folder[0]
        # Parts of one dataset have images of the same names.
        source = self._source_of.get(near)
        candidates = [file for file in candidates if self._source_of[file] is source] or candidates
        in_split = [file for file in candidates if self.split_of(file) == self.split_of(near)]
        return (in_split or candidates)[0]

    def find_exactly(self, parts: Sequence[str], *, near: str) -> str | None:
        """Return the image whose path ends with `parts`; None without one.

        The nearest to `near` is chosen if there are several. The last part may lack the suffix.
        """
        folders = tuple(parts[:-1])
        matches = [
            file
            for file in self._images_by_name.get(parts[-1], [])
            if PurePosixPath(file).parts[:-1][len(PurePosixPath(file).parts) - len(parts) :] == folders
        ]
        # Compared by the folders that both paths share; the first match wins a tie.
        folders_near = set(PurePosixPath(near).parents)
        return max(matches, key=lambda file: len(folders_near.intersection(PurePosixPath(file).parents)), default=None)

    def add_embedded(self, file: str, extract: Callable[[bytes], bytes]) -> str:
        """Add the image within an annotation file, and return its name.

        `extract` returns the encoded image from the content of the file.
        """
        image = f"{file}/image"
        self._embedded[image] = (file, extract)
        self._source_of[image] = self._source_of[file]
        self._folder_splits[image] = self._folder_splits[file]
        return image

    def read_texts(self, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield annotation files with their content; one that cannot be read becomes an issue."""
        for file, data in self._read(set(files)):
            if isinstance(data, DataRejected):
                self._issues.record(data, at=Location(file=file))
            else:
                yield file, data

    def read_images(self, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield encoded images; one that cannot be read becomes an issue."""
        for file, data in self._read(set(files)):
            if isinstance(data, DataRejected):
                self._issues.record(data, at=Location(file=file), rows=1)
            else:
                yield file, data

    def batches(self, annotations: Mapping[str, ImageAnnotation]) -> Iterator[Batch]:
        """Read the annotated images in batches, with their objects.

        Consecutive images of one split form a batch.
        """
        files: list[str] = []
        encoded: list[bytes] = []
        objects: list[AnnotatedObjects] = []
        split: str | None = None
        byte_count = 0
        for file, data in self._read(annotations.keys()):
            if isinstance(data, DataRejected):
                self._issues.record(data, at=Location(file=file), rows=1)
                continue
            annotation = annotations[file]
            is_full = len(files) >= ROWS_PER_BATCH or byte_count >= BYTES_PER_BATCH
            if files and (is_full or annotation.split != split):
                yield Batch({"image": encoded, "objects": objects}, Locations(files), split)
                files, encoded, objects, byte_count = [], [], [], 0
            split = annotation.split
            byte_count += len(data)
            files.append(file)
            encoded.append(data)
            objects.append(to_objects(annotation, images.read_size(data), Location(file=file), self._issues))
        if files:
            yield Batch({"image": encoded, "objects": objects}, Locations(files), split)

    def _read(self, files: Iterable[str]) -> Iterator[tuple[str, bytes | DataRejected]]:
        names = set(files)
        embedded = {self._embedded[name][0]: name for name in names & self._embedded.keys()}
        if embedded:
            for annotation, data in self._read(embedded):
                image = embedded[annotation]
                yield image, data if isinstance(data, DataRejected) else self._embedded[image][1](data)
            names -= self._embedded.keys()
        for source in self._archives:
            yield from read_members(source, names, self._issues, self._limits)
        for name in sorted(names & self._loose.keys()):
            try:
                with self._loose[name].open(self._limits) as file:
                    yield name, file.read()
            except DataRejected as rejection:
                yield name, rejection


def add_annotation(
    annotations: dict[str, ImageAnnotation], image: str, annotation: ImageAnnotation, at: Location, issues: IssueLog
) -> None:
    """Add the annotation of an image.

    Objects are joined with those that the image already has, which becomes an issue.
    """
    earlier = annotations.get(image)
    if earlier is None:
        annotations[image] = annotation
        return
    if earlier.objects and annotation.objects:
        issues.add("image_listed_twice", at=at, actual=image)
    splits = {earlier.split, annotation.split}
    # Images are held out if one of the entries says so.
    split = next((name for name in HELD_OUT_FIRST if name in splits), None)
    size = earlier.size or annotation.size
    annotations[image] = ImageAnnotation([*earlier.objects, *annotation.objects], split, size)


def to_objects(
    annotation: ImageAnnotation, size: tuple[int, int] | None, at: Location, issues: IssueLog
) -> AnnotatedObjects:
    """Convert the objects to boxes in pixels of an image of `size`."""
    if not annotation.objects:
        issues.add("image_without_objects", at=at)
    if size is None:
        # The image column rejects this row.
        return AnnotatedObjects(annotation.objects)
    if annotation.size is not None and annotation.size != size and all(annotation.size):
        actual, expected = (f"{width} x {height}" for width, height in (size, annotation.size))
        issues.add("image_size_differs", at=at, actual=actual, expected=expected)
    return AnnotatedObjects([_to_pixels(annotated, size) for annotated in annotation.objects], size)


def _to_pixels(annotated: Mapping[str, Any], size: tuple[int, int]) -> Mapping[str, Any]:
    """Convert a `relative_box`, if the object has one, to a `box` in pixels."""
    if "relative_box" not in annotated:
        return annotated
    sides = (*size, *size)
    box = [fraction * side for fraction, side in zip(annotated["relative_box"], sides, strict=True)]
    return {**annotated, "box": box}
