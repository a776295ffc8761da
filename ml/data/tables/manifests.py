"""Manifests: tables that lie beside files and describe each of them.

Read are CSV, TSV, text delimited by semicolons or bars, and JSON lines.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import open_text, read_lines
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"})
#: Usual names of the column of file names, the likeliest first.
FILE_COLUMN_NAMES: Final = ("file_name", "filename", "file", "path", "file_path", "filepath")
DELIMITERS: Final = ("\t", ",", ";", "|")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row of a manifest: its cells by column name, and its location."""

    cells: Mapping[str, Any]
    location: Location


def read_manifest(source: UploadedFile, issues: IssueLog, limits: Limits) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest.

    A row that cannot be read becomes an issue. Raises `DataRejected` if the file is no table.
    """
    with open_text(source, issues, limits) as text:
        if source.content == "json":
            yield from _read_json(source, read_lines(text), issues)
        else:
            yield from _read_delimited(source, read_lines(text), issues)


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


def _read_delimited(source: UploadedFile, text: Iterator[str], issues: IssueLog) -> Iterator[ManifestRow]:
    header = next((line for line in text if line.strip()), "")
    delimiter = max(DELIMITERS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if len(names) < 2:
        raise DataRejected("manifest_without_columns", actual=header.strip(), at=Location(file=source.name))
    reader = csv.reader(text, delimiter=delimiter)
    row = 0
    try:
        for cells in reader:
            if not cells:
                continue
            row += 1
            location = Location(file=source.name, line=reader.line_num + 1, row=row)
            if len(cells) != len(names):
                expected = f"{len(names)}"
                issues.add("ragged_row", at=location, actual=f"{len(cells)} cells", expected=expected, rows=1)
                continue
            yield ManifestRow(dict(zip(names, cells, strict=True)), location)
    except csv.Error as error:
        raise DataRejected(
            "bad_quoting", actual=error, at=Location(file=source.name, line=reader.line_num + 1)
        ) from error


def find_column(names: Iterable[str], aliases: Sequence[str]) -> str | None:
    """Return the first column whose name is one of `aliases`, compared without case."""
    by_lower_name = {name.strip().lower(): name for name in reversed(list(names))}
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
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise DataRejected("file_name_ambiguous", actual=name, expected=f"one of {', '.join(candidates[:3])}")
        suggestion = self._by_folded_stem.get(path.stem.casefold())
        raise DataRejected("file_missing", actual=name or "nothing", expected=suggestion)
