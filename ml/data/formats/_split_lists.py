"""Lists that name the files of a split, beside class folders: `testing_list.txt`, `meta/test.txt`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from ml.data.files.archives import read_members
from ml.data.files.text import read_text
from ml.data.files.upload import find_split
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

#: Split of the files that no list names, where there are lists.
TRAIN: Final = "train"
_TRAIN_AND_VALIDATION: Final = re.compile(r"train[_-]?(and[_-])?val")
#: Numbers of the splits in CelebA.
_PARTITIONS: Final = {"0": "train", "1": "validation", "2": "test"}


class ListedFiles(NamedTuple):
    """Split of every file by lists, and the classes behind their names."""

    splits: dict[str, str]
    labels: dict[str, str]


def is_split_list(name: str) -> bool:
    """Return whether a file may list the files of a split, by its name: `validation_list.txt`."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".txt" and (_split_of(path.stem) is not None or _is_partition(path.stem))


def read_split_lists(
    source: UploadedFile, lists: Collection[str], files: Iterable[str], issues: IssueLog, limits: Limits
) -> ListedFiles:
    """Return the split of all files if lists name some of them, else nothing.

    A list that names none of them is reported; so are all lists if two of them name a file for different splits, as
    the folds of a cross-validation do.
    """
    index = _index(files)
    splits: dict[str, str] = {}
    labels: dict[str, str] = {}
    read: list[str] = []
    has_conflict = False
    for name, data in read_members(source, lists, issues, limits):
        if isinstance(data, DataRejected):
            issues.record(data, at=Location(file=name))
            continue
        stem = PurePosixPath(name).stem
        split = _split_of(stem) or TRAIN
        lines = [_find(line, index) for line in read_text(name, data, issues).splitlines() if line.strip()]
        listed = {file: label for file, label in lines if file}
        if _is_partition(stem) and set(listed.values()) <= _PARTITIONS.keys() and listed:
            read.append(name)
            splits.update({file: _PARTITIONS[number] for file, number in listed.items()})
            continue
        if not listed:
            issues.add("file_ignored", at=Location(file=name), expected="a list of files in the class folders")
            continue
        read.append(name)
        has_conflict |= any(splits.get(file, split) != split for file in listed)
        splits.update(dict.fromkeys(listed, split))
        labels.update({file: label for file, label in listed.items() if label})
    if has_conflict:
        for name in read:
            issues.add("file_ignored", at=Location(file=name), expected="lists that name a file for one split alone")
        return ListedFiles({}, {})
    return ListedFiles({file: splits.get(file, TRAIN) for file in files} if splits else {}, labels)


def _split_of(stem: str) -> str | None:
    """Return the split of a list; one of train and validation together is for training."""
    return TRAIN if _TRAIN_AND_VALIDATION.search(stem.lower()) else find_split(stem)


def _is_partition(stem: str) -> bool:
    """Return whether a list numbers the splits, as CelebA's `list_eval_partition`."""
    return "partition" in stem.lower()


def _index(files: Iterable[str]) -> dict[str, str | None]:
    """Return each file by the ends of its path, with and without suffix.

    An end that several files have stands for none.
    """
    index: dict[str, str | None] = {}
    for file in files:
        parts = PurePosixPath(file).parts
        for start in range(len(parts)):
            end = PurePosixPath(*parts[start:])
            for key in {str(end), str(end.with_suffix(""))}:
                index[key] = None if key in index else file
    return index


def _find(line: str, index: dict[str, str | None]) -> tuple[str | None, str]:
    """Return the file that a line names, and the class behind it or ""."""
    first, _, rest = line.strip().partition(" ")
    for name, label in ((line.strip(), ""), (first, rest.strip())):
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
        for start in range(len(parts)):
            if file := index.get("/".join(parts[start:])):
                # The first of several numbers is the class, as in the lists of Oxford-IIIT Pet.
                is_numbered = label.replace(" ", "").isdecimal()
                return file, label.split()[0] if is_numbered else label
    return None, ""
