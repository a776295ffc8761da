"""Tiny ImageNet: class folders for train, and a list of classes for val.

`words.txt` has the names of the classes.

http://cs231n.stanford.edu/tiny-imagenet-200.zip.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.importing.corpora.base import CorpusFiles

_LIST: Final = "val/val_annotations.txt"
_WORDS: Final = "words.txt"
_IDS: Final = "wnids.txt"
_TRAIN_FOLDER: Final = "train/"
_TRAIN: Final = re.compile(r"(?P<above>(?:.*/)?train/)(?P<id>n\d+)/images/(?P<name>[^/]+)")
_VALIDATION: Final = re.compile(r"(?P<above>(?:.*/)?val/)images/(?P<name>[^/]+)")
_TEST: Final = re.compile(r"(?:.*/)?test/images/[^/]+")
_BOXES: Final = re.compile(r"(?:.*/)?train/n\d+/n\d+_boxes\.txt")


def read(upload: CorpusFiles, required_columns: Mapping[str, str] | None) -> None:
    """Put the images of val into class folders.

    Those of test have no classes and are left out. Raises `DataRejected` if objects are required.
    """
    for number, source in enumerate(upload.sources):
        names = [name.removeprefix("./") for name in source.member_names if source.content in ("zip", "tar")]
        folder = next((match["above"] for name in names if (match := _TRAIN.fullmatch(name))), None)
        if folder is None or not any(map(_BOXES.fullmatch, names)):
            continue
        # Detection knows a sample of the names of a large archive; these lists have a place.
        top = f"{source.name}/{folder.removesuffix(_TRAIN_FOLDER)}"
        texts = upload.read_texts([f"{top}{_LIST}", f"{top}{_WORDS}"])
        rows = [line.split("\t") for line in texts.get(f"{top}{_LIST}", "").splitlines()]
        classes = {row[0]: row[1] for row in rows if len(row) > 1}
        words = _read_words(texts.get(f"{top}{_WORDS}", ""), names)
        at = Location(file=source.name)
        if "objects" in (required_columns or {}):
            expected = "task image_classification, or COCO for boxes"
            raise DataRejected("content_not_read", actual="boxes of Tiny ImageNet", expected=expected, at=at)
        if any(map(_TEST.fullmatch, names)):
            upload.issues.add("split_without_labels", at=at, actual="test/images")
        upload.issues.add("file_ignored", at=at, actual="boxes of objects", expected="class folders")
        upload.sources[number] = replace(source, relocate=partial(_relocate, classes=classes, words=words))


def _read_words(text: str, names: list[str]) -> dict[str, str]:
    """Return the first word for the id of each class that has folders.

    Ids remain if two classes share a word, as the bird and the machine called crane.
    """
    ids = {match["id"] for name in names if (match := _TRAIN.fullmatch(name))}
    pairs = (line.partition("\t") for line in text.splitlines())
    words = {class_id: rest.partition(",")[0].strip() for class_id, _, rest in pairs if class_id in ids}
    return words if len(set(words.values())) == len(ids) else {}


def _relocate(path: str, *, classes: Mapping[str, str], words: Mapping[str, str]) -> str | None:
    """Return the path in a class folder; None for test images and lists."""
    if match := _TRAIN.fullmatch(path):
        return f"{match['above']}{words.get(match['id'], match['id'])}/{match['name']}"
    if (match := _VALIDATION.fullmatch(path)) and (class_id := classes.get(match["name"])):
        return f"{match['above']}{words.get(class_id, class_id)}/{match['name']}"
    is_list = path.endswith((_LIST, f"/{_WORDS}", f"/{_IDS}")) or path in (_WORDS, _IDS)
    return None if is_list or _TEST.fullmatch(path) or _BOXES.fullmatch(path) else path
