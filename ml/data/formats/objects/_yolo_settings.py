"""Settings of YOLO datasets: `data.yaml`, `obj.data`, and the lists of images that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.upload import find_split, parse_split
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ml.data.formats.images._annotations import UploadFiles
    from ml.data.issues import IssueLog

MAX_YAML_BYTES: Final = 1 << 20
TRAIN: Final = "train"
HELD_OUT_SPLITS: Final = ("validation", "test")


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Number of keypoints, and of values for each: x, y, perhaps visibility."""

    count: int
    values: int

    @property
    def cells(self) -> int:
        """Cells of a line that hold keypoints."""
        return self.count * self.values


@dataclass(frozen=True, slots=True)
class YoloSettings:
    """Settings of a dataset in one file."""

    class_names: Mapping[int, str] = field(default_factory=dict)
    keypoints: Keypoints | None = None
    #: (split, folder or list of images) as the file names them.
    split_paths: Sequence[tuple[str, str]] = ()
    #: Names of the fields that are not read.
    unread: Sequence[str] = ()


def parse_yaml(data: bytes) -> YoloSettings:
    """Parse a `data.yaml`; raises `DataRejected` if it is no YAML."""
    # Imported here, because only YOLO datasets need it.
    import yaml

    try:
        if len(data) > MAX_YAML_BYTES:
            expected = f"at most {MAX_YAML_BYTES:,}"
            raise DataRejected("annotation_invalid", actual=f"{len(data):,} bytes", expected=expected)
        content = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataRejected("annotation_invalid", actual=error, expected="YAML") from None
    if not isinstance(content, dict):
        return YoloSettings()
    class_names = _parse_names(content.get("names"))
    keypoints = _parse_keypoints(content.get("kpt_shape"))
    # A count of classes that fits the names says nothing more.
    used = {"names", "kpt_shape", *(["nc"] if content.get("nc") == len(class_names) else [])}
    return YoloSettings(class_names, keypoints, list(_parse_split_paths(content)), _unread(content, used))


def _unread(content: Mapping[Any, Any], used: Collection[str]) -> list[str]:
    """Return the names of fields with a value that are neither used nor a split."""
    return [str(key) for key, value in content.items() if value and str(key) not in used and not parse_split(str(key))]


def parse_darknet_data(data: bytes) -> YoloSettings:
    """Parse an `obj.data` of Darknet: lines such as `train = data/train.txt`."""
    pairs = (line.partition("=") for line in data.decode("utf-8-sig", "replace").splitlines())
    content = {key.strip().lower(): value.strip() for key, separator, value in pairs if separator}
    return YoloSettings(split_paths=list(_parse_split_paths(content)), unread=_unread(content, {"names"}))


def _parse_names(names: Any) -> dict[int, str]:
    """Return the class names by number; the numbers of a mapping may be quoted."""
    if isinstance(names, list):
        return {code: str(name) for code, name in enumerate(names)}
    if isinstance(names, dict) and all(str(code).strip().isdecimal() for code in names):
        return {int(str(code)): str(name) for code, name in names.items()}
    return {}


def _parse_keypoints(shape: Any) -> Keypoints | None:
    """Return the keypoints that `kpt_shape: [count, 2 or 3]` describes."""
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(size, int) for size in shape):
        return None
    count, values = shape
    return Keypoints(count, values) if count > 0 and values in (2, 3) else None


def _parse_split_paths(content: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        split = parse_split(str(key))
        for path in (value if isinstance(value, list) else [value]) if split else ():
            if isinstance(path, str) and path.strip():
                yield split or "", path.strip()


def read_listed_splits(
    files: UploadFiles, settings: Mapping[str, YoloSettings], lists: Mapping[str, bytes], issues: IssueLog
) -> dict[str, str]:
    """Return the split of every image that lists or settings name.

    A held-out split has precedence over train; one with all images of train is ignored.

    Args:
        files: Files of the upload.
        settings: Settings by file.
        lists: Contents of the lists of images, by file.
        issues: Receives lists that are not used.
    """
    images_by_split: dict[str, set[str]] = {}
    named_lists: set[str] = set()
    for file, content in settings.items():
        for split, path in content.split_paths:
            listed, named = _images_below(path, files, lists, issues, beside=file)
            named_lists |= named
            images_by_split.setdefault(split, set()).update(listed)
            if not listed:
                issues.add("split_path_missing", at=Location(file=file), actual=f"{split}: {path}")
    for file, data in lists.items():
        list_split = find_split(PurePosixPath(file).stem)
        if file in named_lists:
            continue
        if list_split is None:
            issues.add("file_ignored", at=Location(file=file), expected="a list named train, val or test")
        else:
            images_by_split.setdefault(list_split, set()).update(_read_list(file, data, files, issues))
    train = images_by_split.get(TRAIN, set())
    for split in HELD_OUT_SPLITS:
        if train and train <= images_by_split.get(split, set()):
            actual = f"{split}: the {len(train):,} images of train"
            issues.add("split_same_as_train", at=Location(file=next(iter(settings), None)), actual=actual)
            del images_by_split[split]
    return {
        image: split
        for split in (TRAIN, *HELD_OUT_SPLITS)  # later ones replace earlier ones
        for image in sorted(images_by_split.get(split, ()))
    }


def _images_below(
    path: str, files: UploadFiles, lists: Mapping[str, bytes], issues: IssueLog, *, beside: str
) -> tuple[set[str], set[str]]:
    """Return the images in a folder or list, and the lists read."""
    parts = _relative_parts(path)
    if PurePosixPath(path).suffix.lower() == ".txt":
        matching = _ending_with(parts, lists, beside=beside)
        return {image for file in matching for image in _read_list(file, lists[file], files, issues)}, set(matching)
    return set(_within_folder(parts, files.images, beside=beside)), set()


def _read_list(file: str, data: bytes, files: UploadFiles, issues: IssueLog) -> Iterator[str]:
    """Yield the images of a list; a missing one becomes an issue."""
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        parts = _relative_parts(line.strip())
        # Lists name the images as their writer stored them: the longest end of the path that an image has is meant.
        ends = (parts[start:] for start in range(len(parts)))
        image = next((image for end in ends if (image := files.find_exactly(end, near=file))), None)
        if image is not None:
            yield image
        elif parts:
            issues.add("split_path_missing", at=Location(file=file, line=number), actual=line.strip())


def _relative_parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return tuple(part for part in parts if part not in ("/", ".", ".."))


def _ending_with(parts: tuple[str, ...], candidates: Iterable[str], *, beside: str) -> list[str]:
    """Return the file of this path, or of this name nearest to `beside`."""
    named = [file for file in candidates if PurePosixPath(file).name == parts[-1]] if parts else []
    named.sort(key=lambda file: (PurePosixPath(file).parts[-len(parts) :] != parts, _distance(file, beside)))
    return named[:1]


def _distance(file: str, settings_file: str) -> int:
    """Count the folders of `file` that are not above `other`."""
    folders = set(map(str, PurePosixPath(settings_file).parents))
    return sum(str(parent) not in folders for parent in PurePosixPath(file).parents)


def _within_folder(parts: tuple[str, ...], candidates: Sequence[str], *, beside: str) -> list[str]:
    """Return the files below a folder.

    Its path may begin with folders that only its writer's machine has; the name of a split is never left out.
    """
    anchor = PurePosixPath(beside).parent.parts
    folders = {file: PurePosixPath(file).parts[:-1] for file in candidates}
    anchored = [file for file, folder in folders.items() if folder[: len(anchor) + len(parts)] == (*anchor, *parts)]
    if anchored:
        return anchored
    for start in range(len(parts)):
        end = parts[start:]
        matching = [file for file, folder in folders.items() if _contains(folder, end)]
        if matching or parse_split(parts[start]):
            return matching
    return []


def _contains(folder: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Return whether consecutive folders of a path are `parts`."""
    return any(folder[start : start + len(parts)] == parts for start in range(len(folder) - len(parts) + 1))
