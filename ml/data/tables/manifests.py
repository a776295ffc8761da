"""A table that lies beside files and tells of each what it is: CSV, TSV, bars, JSON lines."""

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
FILE_NAMES: Final = ("file_name", "filename", "file", "path", "file_path", "filepath")
"""What the column of file names is called, the likeliest first."""
DELIMITERS: Final = ("\t", ",", ";", "|")


@dataclass(frozen=True, slots=True)
class Record:
    """One row by column name, and where it stands."""

    cells: Mapping[str, Any]
    place: Location


def records(source: UploadedFile, issues: IssueLog, limits: Limits) -> Iterator[Record]:
    """Row by row; one that cannot be read becomes a finding. Raises `DataRejected` where there is no table."""
    with open_text(source, issues, limits) as text:
        if source.content == "json":
            yield from _of_json(source, read_lines(text), issues)
        else:
            yield from _of_cells(source, read_lines(text), issues)


def _of_json(source: UploadedFile, text: Iterable[str], issues: IssueLog) -> Iterator[Record]:
    row = 0
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        row += 1
        place = Location(file=source.name, line=number, row=row)
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            issues.add("json_invalid", at=place, actual=error, rows=1)
            continue
        if not isinstance(cells, dict):
            issues.add("json_not_an_object", at=place, actual=cells, rows=1)
            continue
        yield Record(cells, place)


def _of_cells(source: UploadedFile, text: Iterator[str], issues: IssueLog) -> Iterator[Record]:
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
            place = Location(file=source.name, line=reader.line_num + 1, row=row)
            if len(cells) != len(names):
                expected = f"{len(names)}"
                issues.add("ragged_row", at=place, actual=f"{len(cells)} cells", expected=expected, rows=1)
                continue
            yield Record(dict(zip(names, cells, strict=True)), place)
    except csv.Error as error:
        raise DataRejected(
            "bad_quoting", actual=error, at=Location(file=source.name, line=reader.line_num + 1)
        ) from error


def column_of(names: Iterable[str], aliases: Sequence[str]) -> str | None:
    """The column that is called one of `aliases`, whatever its case."""
    known = {name.strip().lower(): name for name in reversed(list(names))}
    return next((known[alias] for alias in aliases if alias in known), None)


class FilesByName:
    """Finds the file that a row means: by its whole path, from the folder of the table, or by its name alone.

    The suffix may be left out.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        self._folded: dict[str, str] = {}
        """Of a name without suffix and case, the first that is written so: perhaps the one that was meant."""
        for file in sorted(files, key=natural_sort_key):
            path = PurePosixPath(file)
            self._exact.add(file)
            self._folded.setdefault(path.stem.casefold(), path.name)
            for name in {path.name, path.stem}:
                self._by_name.setdefault(name, []).append(file)

    def find(self, name: str, *, beside: str) -> str:
        """`beside` is the table's own path; raises `DataRejected` where no file, or more than one, is meant."""
        asked = PurePosixPath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/"))
        root = PurePosixPath(beside)
        for folder in root.parents:
            if str(folder / asked) in self._exact:
                return str(folder / asked)
        alike = self._by_name.get(asked.name, [])
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise DataRejected("file_name_ambiguous", actual=name, expected=f"one of {', '.join(alike[:3])}")
        raise DataRejected("file_missing", actual=name or "nothing", expected=self._folded.get(asked.stem.casefold()))
