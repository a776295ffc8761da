"""Pascal VOC: an XML file per image, and lists of image names by split."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.files import images
from ml.data.files.upload import parse_split
from ml.data.files.xml import read_xml
from ml.data.formats.base import Format
from ml.data.formats.images._annotations import ImageAnnotation, UploadFiles
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element  # the type alone; nothing is parsed with it

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

SURE: Final = 2
TRAIN: Final = "train"
#: Folder of the lists for detection.
MAIN_LISTS: Final = "Main"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")


class Voc(Format):
    """`JPEGImages/`, `Annotations/<image>.xml`, `ImageSets/Main/<split>.txt`; or XML beside the images."""

    name = "voc"
    summary = "Pascal VOC in zip or tar: images, an XML file for each, and lists of names by split"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "objects": "objects"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for an archive with an XML file.

        One among other files and without images belongs to a corpus of texts.
        """
        names = [name.lower() for source in sources for name in source.member_names if not name.endswith("/")]
        xml_count = sum(name.endswith(".xml") for name in names)
        has_images = any(PurePosixPath(name).suffix in images.SUFFIXES for name in names)
        return super().detect(sources, required) * SURE * (2 * xml_count > len(names) or (xml_count > 0 and has_images))

    def read(self) -> Iterator[Batch]:
        """Yield every image, those without annotation included."""
        files = UploadFiles(self.sources, self.issues, self.limits)
        listed_splits = self._read_lists(files)
        annotations: dict[str, ImageAnnotation] = {}
        for file, data in files.read_texts(files.with_suffix(".xml")):
            try:
                root = read_xml(data)
                image = _find_image(root, file, files)
                objects = [_to_object(element) for element in root.iter("object")]
                annotations[image] = ImageAnnotation(objects, _split_of(image, file, listed_splits, files), _size(root))
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=file), rows=1)
        for image in files.images:
            if image not in annotations and _is_mask(image):
                expected = "an image, not a segmentation mask"
                self.issues.add("file_ignored", at=Location(file=image), expected=expected)
                continue
            annotations.setdefault(image, ImageAnnotation([], _split_of(image, image, listed_splits, files)))
        yield from files.batches(annotations)

    def _read_lists(self, files: UploadFiles) -> dict[str, str]:
        """Return the split of every listed image, by its name without suffix.

        An image of `trainval.txt` that no other list names is in train. Lists for other tasks than detection, such as
        `ImageSets/Segmentation`, do not count if there are any in `ImageSets/Main`.
        """
        splits: dict[str, str] = {}
        image_names = {PurePosixPath(image).stem for image in files.images}
        lists = [file for file in files.with_suffix(".txt") if _list_split(file)]
        lists = [file for file in lists if PurePosixPath(file).parent.name == MAIN_LISTS] or lists
        for file, data in files.read_texts(lists):
            split = _list_split(file)
            for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
                name = _listed_name(line)
                if name and name not in image_names:
                    self.issues.add("image_missing", at=Location(file=file, line=number), actual=name, rows=1)
                elif name and split and not (_is_joint_list(file) and name in splits):
                    splits[name] = split
        return splits


def _find_image(root: Element, file: str, files: UploadFiles) -> str:
    """Return the image of an annotation; raises `DataRejected` if there is none."""
    stem = PurePosixPath(file).stem
    image = files.find_image(stem, near=file, image_folder=_image_folder)
    image = image or files.find_image(root.findtext("filename") or "", near=file)
    if image is None:
        raise DataRejected("image_missing", actual=root.findtext("filename") or stem)
    return image


def _split_of(image: str, annotation: str, listed_splits: Mapping[str, str], files: UploadFiles) -> str | None:
    """Return the split of an image.

    The user's choice has precedence over a list, and that over folders and the archive's name.
    """
    listed = listed_splits.get(PurePosixPath(annotation).stem) or listed_splits.get(PurePosixPath(image).stem)
    return files.choose_split(image, annotation, listed)


def _list_split(file: str) -> str | None:
    """Return the split that a list of images is for, by its name."""
    return TRAIN if _is_joint_list(file) else parse_split(PurePosixPath(file).stem)


def _is_joint_list(file: str) -> bool:
    """Return whether a list joins train and validation."""
    return PurePosixPath(file).stem.lower() == "trainval"


def _listed_name(line: str) -> str:
    """Return the name, without folders and image suffix, at the start of a line."""
    name = PurePosixPath(line.split()[0]).name if line.split() else ""
    return PurePosixPath(name).stem if PurePosixPath(name).suffix.lower() in images.SUFFIXES else name


def _is_mask(image: str) -> bool:
    """Return whether an image is a segmentation mask, such as `SegmentationClass/2007_000032.png`."""
    return PurePosixPath(image).parent.name.startswith("Segmentation")


def _image_folder(folder: str) -> str:
    return str(PurePosixPath(folder).parent / "JPEGImages")


def _to_object(element: Element) -> dict[str, Any]:
    box = [element.findtext(f"bndbox/{corner}") for corner in CORNERS]
    return {"label": element.findtext("name"), "box": box}


def _size(root: Element) -> tuple[int, int] | None:
    sides = [root.findtext(f"size/{side}") or "" for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.strip().isdecimal() for side in sides) else None
