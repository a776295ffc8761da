"""Texts with the numbers of their classes, some of several, and no column names: GoEmotions.

A row has one class here, so that rows of several are left out.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ml.data.files.text import detect_encoding, open_lines
from ml.data.importing.corpora.class_list import MAX_CHARACTERS, MAX_CLASSES
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

_NUMBERS: Final = re.compile(r"\d{1,3}(,\d{1,3})*")
_LETTER: Final = re.compile(r"[^\W\d_]")
_INSPECTED_LINES: Final = 200
_LIST_NAMES: Final = ("emotions.txt", "labels.txt", "classes.txt", "ekman_labels.csv")


def read(upload: CorpusFiles) -> None:
    """Replace such tables by rows of one class, named by the list beside them."""
    tables = [source for source in upload.sources if source.content == "text" and _is_table(source, upload)]
    if not tables:
        return
    lists = [source for source in upload.sources if source.name.rpartition("/")[2].lower() in _LIST_NAMES]
    names = _read_names(lists[0], upload) if len(lists) == 1 else []
    for source in tables:
        rows, several = [], 0
        for line in _lines(source, upload):
            if (row := _parse(line)) is None:
                continue
            text, numbers = row
            if "," in numbers:
                several += 1
                continue
            number = int(numbers)
            rows.append({"text": text, "label": names[number] if number < len(names) else str(number)})
        position = upload.sources.index(source)
        upload.add_rows(source.name, rows)
        upload.sources[position] = replace(upload.sources.pop(), requested_split=source.requested_split)
        if several:
            upload.issues.add("several_labels_left_out", at=Location(file=source.name), count=several)
    if names:
        upload.remove([lists[0].name])
        upload.issues.add("classes_named_by_list", at=Location(file=lists[0].name))


def _lines(source: UploadedFile, upload: CorpusFiles) -> Iterator[str]:
    encoding = detect_encoding(source, IssueLog(max_samples=0), upload.limits)
    lines = (line.rstrip("\r\n") for line in open_lines(source, encoding, upload.limits))
    return (line for line in lines if line.strip())


def _is_table(source: UploadedFile, upload: CorpusFiles) -> bool:
    """Return whether all first lines are such rows, and some of them have several classes."""
    try:
        rows = [_parse(line) for line in itertools.islice(_lines(source, upload), _INSPECTED_LINES)]
    except DataRejected:
        return False
    return bool(rows) and all(rows) and any(row and "," in row[1] for row in rows)


def _parse(line: str) -> tuple[str, str] | None:
    """Return text and class numbers of a row; None for another line.

    An id may follow. The line is divided before patterns see it: a pattern of the whole line would take hours for one
    of megabytes.
    """
    text, *cells = line.split("\t", 3)
    if not 1 <= len(cells) <= 2 or not _NUMBERS.fullmatch(cells[0]) or not _LETTER.search(text):
        return None
    has_id = len(cells) == 2
    return None if has_id and (not cells[1] or cells[1].split() != [cells[1]]) else (text, cells[0])


def _read_names(source: UploadedFile, upload: CorpusFiles) -> list[str]:
    names = [line.strip() for line in upload.read_texts([source.name]).get(source.name, "").splitlines()]
    names = [name for name in names if name]
    return names if len(names) <= MAX_CLASSES and all(len(name) <= MAX_CHARACTERS for name in names) else []
