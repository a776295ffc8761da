"""Comments and titles above the rows of a table.

The lines become blank, so that findings name the lines of the upload.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from ml.data.files.text import detect_encoding, open_lines
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.tables.cells import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.importing.corpora.base import CorpusFiles

_DELIMITERS: Final = (",", "\t", ";", "|")
_COMMENT: Final = "#"
_MAX_LINES: Final = 200
#: Rows below by which the table is recognized.
_MIN_ROWS: Final = 4
_MIN_TITLE_COLUMNS: Final = 3


def read(upload: CorpusFiles) -> None:
    """Leave such lines out; names of columns behind the sign of a comment stay."""
    if any(source.content not in ("text", "json", "parquet") for source in upload.sources):
        return
    for position, source in enumerate(upload.sources):
        if source.content != "text":
            continue
        try:
            lines = partial(
                open_lines, source, detect_encoding(source, IssueLog(max_samples=0), upload.limits), upload.limits
            )
            start = [line.rstrip("\r\n") for line in itertools.islice(lines(), _MAX_LINES)]
        except DataRejected:
            continue  # reported by the format that reads it
        replacements = _find_titles(start)
        if not replacements:
            continue
        path = upload.folder / f"titles{position}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in replacements)
            file.writelines(itertools.islice(lines(), len(replacements), None))
        at = Location(file=source.name, line=1)
        upload.issues.add("title_lines_left_out", at=at, actual=start[0], count=replacements.count(""))
        upload.sources[position] = replace(source, path=path)


def _find_titles(start: Sequence[str]) -> list[str]:
    """Return what replaces the first lines: blank lines, perhaps names of columns.

    Empty for a table without comments and titles.
    """
    count = sum(1 for _ in itertools.takewhile(lambda line: line.startswith(_COMMENT), start))
    rows = [line for line in start[count:] if line.strip()]
    delimiter = _find_delimiter(rows)
    if count and delimiter:
        names = start[count - 1].lstrip(f"{_COMMENT} ")
        # Names stand above numbers, unless the first row has names itself.
        is_header = names.count(delimiter) == rows[0].count(delimiter) and _has_number(rows[0], delimiter)
        return [*[""] * (count - 1), names if is_header else ""]
    delimiter = _find_delimiter(rows[1:])
    if not count and delimiter and start and start[0].strip() and _is_title(start[0], rows[1:], delimiter):
        return [""]
    return []


def _find_delimiter(rows: Sequence[str]) -> str | None:
    """Return the delimiter that all first rows have equally often; None without one."""
    first = rows[: 4 * _MIN_ROWS]
    for delimiter in _DELIMITERS if len(first) >= _MIN_ROWS else ():
        counts = {row.count(delimiter) for row in first}
        if len(counts) == 1 and 0 not in counts:
            return delimiter
    return None


def _is_title(line: str, rows: Sequence[str], delimiter: str) -> bool:
    """Return whether a line has one cell, above names of columns and rows with numbers."""
    names = rows[0].split(delimiter)
    filled = [cell for cell in line.split(delimiter) if cell.strip()]
    has_names = all(cell.strip() and not is_number(cell) for cell in names)
    is_table = len(names) >= _MIN_TITLE_COLUMNS and has_names and _has_number(rows[1], delimiter)
    return is_table and len(filled) == 1 and not is_number(filled[0]) and '"' not in line


def _has_number(row: str, delimiter: str) -> bool:
    return any(is_number(cell) for cell in row.split(delimiter))
