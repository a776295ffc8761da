"""Images in a folder per class, in a zip or tar; or images alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data import cub_lists
from ml.data.cub_lists import IMAGES, REPEATING, SPLITS, has_split_lists
from ml.data.files import images
from ml.data.files.natural_sort import natural_sort_key
from ml.data.formats._class_folders import FolderFormat, FolderRole
from ml.data.formats._split_lists import is_split_list, read_split_lists
from ml.data.formats.base import UNLIKELY
from ml.data.formats.images._masks import find_masks
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.base import Batch

ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")

#: Folders of images and of their masks, as datasets for segmentation have them.
_IMAGE_FOLDERS: Final = frozenset({"images", "image", "imgs", "img", "jpegimages", "input", "inputs"})
_MASK_FOLDERS: Final = frozenset(
    {"masks", "mask", "gt", "ground_truth", "groundtruth", "segmentation", "segmentations", "segmentationclass"}
)


class ClassFolders(FolderFormat):
    """`[wrapper/][train|validation|test/]class/image`. A flat folder of images is unlabeled."""

    name = "class_folders"
    summary = "Zip or tar of class folders, with or without train, validation and test above them; or images alone"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image"})
    column = "image"
    empty_code = "archive_without_images"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._split_lists: list[str] = []

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return `UNLIKELY` for archives without an image: this format then reports what they lack."""
        archives = [source for source in sources if source.content in ("zip", "tar")]
        suffixes = [PurePosixPath(name).suffix.lower() for source in archives for name in source.member_names]
        has_images = not suffixes or any(suffix in images.SUFFIXES for suffix in suffixes)
        return super().detect(sources, required) * (1 if has_images else UNLIKELY)

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one archive after another, then the loose images."""
        yield from super().read()
        loose = [source for source in self.sources if source.content == "image"]
        loose.sort(key=lambda source: natural_sort_key(source.name))
        contents = ((source.name, self._read_loose(source)) for source in loose)
        yield from self.batches(contents, {source.name: FolderRole(source.split, None) for source in loose})

    def roles(self, files: Sequence[Member], source: UploadedFile) -> dict[str, FolderRole]:
        """Derive split and label from the folders, or the split from lists."""
        masks = find_masks([member.parts for member in files])
        for member in files:
            if member.parts in masks:
                self.issues.add("file_ignored", at=Location(file=member.file), actual="a mask of pixels")
        files = [member for member in files if member.parts not in masks]
        roles = self._leave_out_masks(super().roles(files, source))
        splits = cub_lists.read_split_lists(source, self.issues, self.limits)
        lists, self._split_lists = self._split_lists, []
        listed = read_split_lists(source, lists, roles, self.issues, self.limits)
        if source.requested_split:
            return roles
        if listed.splits and not splits:
            # Where no folder names a class, the lists do.
            labels = {} if any(role.label for role in roles.values()) else listed.labels
            return {
                file: FolderRole(listed.splits[file], role.label or labels.get(file)) for file, role in roles.items()
            }
        if not splits:
            return roles
        ends = {member.file: "/".join(member.parts[-2:]) for member in files}
        return {file: FolderRole(splits.get(ends[file], role.split), role.label) for file, role in roles.items()}

    def _leave_out_masks(self, roles: dict[str, FolderRole]) -> dict[str, FolderRole]:
        """Leave out masks of pixels, whose folder beside that of the images is no class."""
        labels = {(role.label or "").lower() for role in roles.values()}
        if not labels & _IMAGE_FOLDERS or not labels & _MASK_FOLDERS or labels - _IMAGE_FOLDERS - _MASK_FOLDERS:
            return roles
        for file, role in roles.items():
            if (role.label or "").lower() in _MASK_FOLDERS:
                self.issues.add("file_ignored", at=Location(file=file), actual="a mask of pixels")
        return {
            file: FolderRole(role.split, None)
            for file, role in roles.items()
            if (role.label or "").lower() in _IMAGE_FOLDERS
        }

    def is_row(self, member: Member) -> bool:
        """Return whether a file may be an image, by its suffix.

        An ignored file becomes an issue.
        """
        suffix = PurePosixPath(member.parts[-1]).suffix.lower()
        if suffix in images.SUFFIXES or not suffix:
            return True
        if member.parts[-1] in (IMAGES, SPLITS, *REPEATING) and self._has_split_lists:
            return False
        if is_split_list(member.parts[-1]):
            self._split_lists.append(member.file)
            return False
        code = "archive_nested" if suffix in ARCHIVE_SUFFIXES else "file_ignored"
        self.issues.add(code, at=Location(file=member.file))
        return False

    @cached_property
    def _has_split_lists(self) -> bool:
        return any(has_split_lists(source.member_names) for source in self.sources)

    def _read_loose(self, source: UploadedFile) -> bytes | DataRejected:
        size = source.path.stat().st_size
        if size > self.limits.max_image_bytes:
            expected = f"at most {self.limits.max_image_bytes:,}"
            return DataRejected("file_too_large", actual=f"{size:,} bytes", expected=expected)
        return source.path.read_bytes()
