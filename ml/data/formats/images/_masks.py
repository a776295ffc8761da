"""Masks of pixels beside their images, as datasets for segmentation have them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Behind the name of an image: `0001_mask`, `berlin_0001_gtFine_labelIds`.
_FILE: Final = re.compile(r"(?P<image>.+?)[_.-](masks?|seg|segmentation|labelids|label_?ids|instance_?ids|gt|annot)")
#: Behind the name of a folder of images: `trainannot`, `train_masks`, `val-labels`.
_FOLDER: Final = re.compile(r"(?P<images>.+?)[_-]?(annots?|masks?|labels?|gt|ground_?truths?|segmentations?|seg)")
#: Behind the name of an image in such a folder: CamVid's `0001TP_L`.
_MARK: Final = re.compile(r"[_.-](l|masks?|seg|label_?ids|gt|annot|labels?)$")
#: Fraction of the files of such a folder that have the name of an image.
_MIN_PAIRS: Final = 0.9


def find_masks(files: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the files that are masks: named like an image, with a word behind it.

    A file is the parts of its path.
    """
    stems: dict[tuple[str, ...], set[str]] = {}
    for *folder, name in files:
        stems.setdefault(tuple(folder), set()).add(PurePosixPath(name).stem.lower())
    folders = {folder for folder in stems if _is_mask_folder(folder, stems)}
    return {
        (*folder, name)
        for *folder, name in files
        if tuple(folder) in folders or _is_mask(PurePosixPath(name).stem.lower(), stems[tuple(folder)])
    }


def _is_mask(stem: str, beside: set[str]) -> bool:
    match = _FILE.fullmatch(stem)
    return match is not None and match["image"] in beside


def _is_mask_folder(folder: tuple[str, ...], stems: dict[tuple[str, ...], set[str]]) -> bool:
    """Return whether nearly all files of a folder are named like images beside it."""
    if not folder:
        return False
    match = _FOLDER.fullmatch(folder[-1].lower())
    images = [
        names
        for sibling, names in stems.items()
        if match and sibling[:-1] == folder[:-1] and sibling != folder and sibling[-1].lower() == match["images"]
    ]
    names = {_MARK.sub("", stem) for stem in stems[folder]}
    return bool(images) and len(names & images[0]) >= _MIN_PAIRS * len(names)
