"""Splits of CUB-200: `images.txt` numbers the images, `train_test_split.txt` marks those for training.

https://www.vision.caltech.edu/datasets/cub_200_2011/.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml.data.files.archives import read_members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

IMAGES: Final = "images.txt"
SPLITS: Final = "train_test_split.txt"
#: Lists that say nothing beyond the folders of the images.
REPEATING: Final = ("image_class_labels.txt", "classes.txt")
_SPLIT_OF_MARK: Final = {"1": "train", "0": "test"}


def has_split_lists(names: Iterable[str]) -> bool:
    """Return whether an archive has both lists."""
    return {IMAGES, SPLITS} <= {PurePosixPath(name).name for name in names}


def read_split_lists(source: UploadedFile, issues: IssueLog, limits: Limits) -> dict[str, str]:
    """Return the split of images by class folder and name; empty without the lists."""
    if not has_split_lists(source.member_names):
        return {}
    files = {f"{source.name}/{name}" for name in source.member_names if PurePosixPath(name).name in (IMAGES, SPLITS)}
    rows: dict[str, dict[str, str]] = {}
    for file, data in read_members(source, files, issues, limits):
        if isinstance(data, bytes):
            lines = (line.split() for line in data.decode("utf-8", "replace").splitlines())
            rows[PurePosixPath(file).name] = {cells[0]: cells[1] for cells in lines if len(cells) == 2}
    marks = rows.get(SPLITS, {})
    return {
        image: _SPLIT_OF_MARK[marks[number]]
        for number, image in rows.get(IMAGES, {}).items()
        if marks.get(number) in _SPLIT_OF_MARK
    }
