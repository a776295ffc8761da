"""Manifests: tables that lie beside files and describe each of them.

Read are CSV, TSV, text delimited by semicolons or bars, and JSON lines.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import detect_encoding, open_lines, open_text, read_lines
from ml.data.files.upload import parse_split
from ml.data.issues import DataRejected, Location
from ml.data.tables.column_aliases import plain_name
from ml.data.tables.records import Dialect, Record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"})
#: Usual names of the column of file names, the likeliest first.
FILE_COLUMN_NAMES: Final = ("file_name", "filename", "file", "path", "file_path", "filepath")
#: Usual names of the column of splits.
SPLIT_COLUMN_NAMES: Final = ("split", "subset", "fold", "partition")

#: Columns of a list of numbered captions.
NUMBERED_COLUMNS: Final = ("file_name", "caption")
_NUMBERED_IMAGE: Final = re.compile(r"[^\s#]+\.(?:jpe?g|png|gif|bmp|webp|tiff?)#\d+", re.IGNORECASE)

#: Returns the dialect of a file, by its name and a function that opens its lines.
DialectDetection = Callable[[str, Callable[[], Iterator[str]]], Dialect]


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row of a manifest: its cells by column name, and its location."""

    cells: Mapping[str, Any]
    location: Location


def read_manifest(
    source: UploadedFile, issues: IssueLog, limits: Limits, *, detect_dialect: DialectDetection
) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest.

    A row that cannot be read becomes an issue. Raises `DataRejected` if the file is no table.
    """
    if source.content == "json":
        with open_text(source, issues, limits) as text:
            yield from _read_json(source, read_lines(text), issues)
    else:
        encoding = detect_encoding(source, issues, limits)
        dialect = detect_dialect(source.name, lambda: open_lines(source, encoding, limits))
        yield from _read_delimited(source, open_lines(source, encoding, limits), dialect, issues)


def _read_json(source: UploadedFile, text: Iterable[str], issues: IssueLog) -> Iterator[ManifestRow]:
    row = 0
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        row += 1
        location = Location(file=source.name, line=number, row=row)
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            issues.add("json_invalid", at=location, actual=error, rows=1)
            continue
        if not isinstance(cells, dict):
            issues.add("json_not_an_object", at=location, actual=cells, rows=1)
            continue
        yield ManifestRow(cells, location)


def _read_delimited(
    source: UploadedFile, lines: Iterator[str], dialect: Dialect, issues: IssueLog
) -> Iterator[ManifestRow]:
    first = next((line for line in lines if line.strip()), "")
    header = next(read_records([first], dialect), None)
    names = [name.strip() for name in header.cells] if header else []
    if len(names) < 2:
        raise DataRejected("manifest_without_columns", actual=first.strip(), at=Location(file=source.name))
    has_numbers = has_numbered_image(names[0])
    if has_numbers:
        # Flickr's lists of captions have no column names.
        lines, names = itertools.chain([first], lines), list(NUMBERED_COLUMNS)
    start = int(not has_numbers)
    for row, record in enumerate(read_records(lines, dialect, start=start, width=len(names)), start=1):
        location = Location(file=source.name, line=record.line, row=row)
        if cells := check_width(record, len(names), location, issues):
            cells = [cells[0].partition("#")[0], *cells[1:]] if has_numbers else cells
            yield ManifestRow(dict(zip(names, cells, strict=True)), location)


def has_numbered_image(cell: str) -> bool:
    """Return whether a cell names a caption of an image, as Flickr8k's lists do: `1000.jpg#0`."""
    return _NUMBERED_IMAGE.fullmatch(cell.strip()) is not None


def check_width(record: Record, width: int, at: Location, issues: IssueLog) -> list[str] | None:
    """Return the cells of a row; None if it has another number of them.

    Such a row becomes an issue.

    Quotes that enclose no cell are characters.
    """
    if len(record.cells) == width:
        if record.problem:
            issues.add("quotes_as_text", at=at, actual=record.text, rows=1)
        return record.cells
    if record.problem:
        issues.add("bad_quoting", at=at, actual=record.problem, rows=1)
    else:
        issues.add("ragged_row", at=at, actual=f"{len(record.cells)} cells", expected=f"{width}", rows=1)
    return None


def find_column(names: Iterable[str], aliases: Sequence[str]) -> str | None:
    """Return the first column whose name is one of `aliases`, compared without case.

    `Image Index` is compared as `image_index`, too.
    """
    in_reverse = list(reversed(list(names)))
    by_lower_name = {plain_name(name): name for name in in_reverse}
    by_lower_name |= {name.strip().lower(): name for name in in_reverse}
    return next((by_lower_name[alias] for alias in aliases if alias in by_lower_name), None)


class FileIndex:
    """Looks up the file that a manifest row names.

    The name may be a whole path, a path from the folder of the manifest or one above it, or the file's name alone, with
    or without suffix.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._paths: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        #: Name without suffix and case -> the first file name spelled like that: a suggestion for a misspelled row.
        self._by_folded_stem: dict[str, str] = {}
        for file in sorted(files, key=natural_sort_key):
            path = PurePosixPath(file)
            self._paths.add(file)
            self._by_folded_stem.setdefault(path.stem.casefold(), path.name)
            for name in {path.name, path.stem}:
                self._by_name.setdefault(name, []).append(file)

    def find(self, name: str, *, beside: str) -> str:
        """Return the file that the manifest at path `beside` calls `name`.

        Raises `DataRejected` if no file or more than one has this name.
        """
        path = PurePosixPath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/"))
        for folder in PurePosixPath(beside).parents:
            if str(folder / path) in self._paths:
                return str(folder / path)
        candidates = self._by_name.get(path.name, [])
        if len(candidates) > 1:
            candidates = _select_like(candidates, PurePosixPath(beside).stem) or candidates
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise DataRejected("file_name_ambiguous", actual=name, expected=f"one of {', '.join(candidates[:3])}")
        suggestion = self._by_folded_stem.get(path.stem.casefold())
        raise DataRejected("file_missing", actual=name or "nothing", expected=suggestion)


def _select_like(files: Sequence[str], table: str) -> list[str]:
    """Return the files in a folder that is called like their table: `train/0.png` for `train.csv`."""
    split = parse_split(table)
    folders = {file: PurePosixPath(file).parent.name for file in files}
    return [
        file
        for file, folder in folders.items()
        if folder.lower() == table.lower() or (split is not None and parse_split(folder) == split)
    ]
