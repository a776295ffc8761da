"""A list of class names beside tables of numbered classes.

AG News has `classes.txt` beside `train.csv`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ml.data.importing.corpora.base import CorpusFiles

_NAME: Final = re.compile(r"(classes|class_names|class[_-]?labels?|labels?|label_names|categories)\.txt", re.IGNORECASE)
#: Longer lines are texts.
MAX_CHARACTERS: Final = 100
MAX_CLASSES: Final = 10_000


class ClassList(NamedTuple):
    """Names of classes in the order of their numbers."""

    file: str
    names: list[str]


def read(upload: CorpusFiles) -> ClassList | None:
    """Take the list of class names from the tables of an upload, and return it."""
    lists = [source for source in upload.sources if _NAME.fullmatch(PurePosixPath(source.name).name)]
    tables = [source for source in upload.sources if source not in lists]
    if len(lists) != 1 or not tables or any(source.content not in ("text", "json", "parquet") for source in tables):
        return None
    text = upload.read_texts([lists[0].name]).get(lists[0].name, "")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    is_list = 2 <= len(names) <= MAX_CLASSES and len(set(names)) == len(names)
    if not is_list or any(len(name) > MAX_CHARACTERS or "\t" in name or name.isdecimal() for name in names):
        return None
    upload.remove([lists[0].name])
    return ClassList(lists[0].name, names)


def name_classes(labels: Collection[str], names: Sequence[str]) -> dict[str, str]:
    """Return the name of each numbered label.

    There are none if the numbers are not those of the list, or one is written in two ways: 1 and 01. They begin at 1 if
    the last one occurs, and at 0 if that does.
    """
    numbers = {label: int(label) for label in labels if label.isdecimal()}
    if len(set(numbers.values())) < len(labels) or not numbers:
        return {}
    first = 0 if 0 in numbers.values() else 1
    is_sure = first == 0 or len(names) in numbers.values()
    if not is_sure or max(numbers.values()) - first >= len(names):
        return {}
    return {label: names[number - first] for label, number in numbers.items()}
