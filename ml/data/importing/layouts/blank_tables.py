"""Tables whose cells are divided by blanks.

So are several of the UCI repository: auto-mpg, housing, yeast, german.
"""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from ml.data.files.text import detect_encoding, open_lines
from ml.data.formats import FORMATS
from ml.data.formats.base import UNLIKELY
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.tables.cells import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml.data.importing.corpora.base import CorpusFiles

_CELL: Final = re.compile(r'"[^"]*"|\S+')
_ALIGNED: Final = re.compile(r"\S {2,}\S")
#: Delimiters of other tables; blanks stand in their texts.
_OTHERS: Final = re.compile(r"[,;|]|::")
_MISSING: Final = ("?", "NA", "NaN", "nan", "*", "-")
_MIN_COLUMNS: Final = 2
_MIN_ROWS: Final = 5
_MIN_NUMBERS: Final = 2
#: Fraction of the columns that hold numbers; lines of a log have fewer.
_MIN_FRACTION: Final = 1 / 3
_INSPECTED_ROWS: Final = 50


def read(upload: CorpusFiles) -> None:
    """Replace such tables by the same with commas."""
    if any(source.content not in ("text", "json", "parquet") for source in upload.sources):
        return  # lists of numbers beside images and sounds describe these
    for position, source in enumerate(upload.sources):
        if source.content != "text" or FORMATS["interactions"].detect([source], None) > UNLIKELY:
            continue
        try:
            encoding = detect_encoding(source, IssueLog(max_samples=0), upload.limits)
            lines = partial(open_lines, source, encoding, upload.limits)
            width = _find_width(lines)
        except DataRejected:
            continue  # reported by the format that reads it
        if width:
            path = upload.folder / f"blanks{position}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(map(_split, lines()))
            upload.issues.add("divided_by_blanks", at=Location(file=source.name), actual=f"{width} columns")
            upload.sources[position] = replace(source, path=path)


def _find_width(lines: Callable[[], Iterator[str]]) -> int:
    """Return the number of columns; 0 for a file that is no such table."""
    start = [line for line in itertools.islice(lines(), _INSPECTED_ROWS) if line.strip()]
    rows = [_split(line) for line in start]
    width = len(rows[0]) if rows else 0
    if len(rows) < _MIN_ROWS or width < _MIN_COLUMNS or not _are_numbers(rows[1:], width):
        return 0
    if any(_OTHERS.search(line) for line in start) or _has_tabs(start):
        return 0
    return width if all(len(_split(line)) == width for line in lines() if line.strip()) else 0


def _split(line: str) -> list[str]:
    return [cell.strip('"') for cell in _CELL.findall(line)]


def _are_numbers(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Return whether enough columns hold numbers alone."""
    if any(len(row) != width for row in rows):
        return False
    columns = list(zip(*rows, strict=True))
    numbers = [
        column
        for column in columns
        if any(map(is_number, column)) and all(is_number(cell) or cell in _MISSING for cell in column)
    ]
    return len(numbers) >= max(_MIN_NUMBERS, width * _MIN_FRACTION)


def _has_tabs(lines: Sequence[str]) -> bool:
    """Return whether tabs divide the rows, rather than blanks that align them."""
    counts = {line.strip().count("\t") for line in lines}
    return len(counts) == 1 and 0 not in counts and not any(map(_ALIGNED.search, lines))
