"""Rows as JSON lists, one on each line: pairs and triplets of sentence-transformers."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.text import open_text, read_lines
from ml.data.formats import FORMATS
from ml.data.formats.base import UNLIKELY
from ml.data.issues import DataRejected, IssueLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

_INSPECTED_LINES: Final = 100
_MIN_CELLS: Final = 2


def read(upload: CorpusFiles) -> None:
    """Replace such files by tables without names of columns; sessions of items stay."""
    if not upload.sources or FORMATS["interactions"].detect(upload.sources, None) > UNLIKELY:
        return
    for position, source in enumerate(upload.sources):
        start = b"".join(source.text_starts.values()) if source.content in ("text", "json") else b""
        if not start.lstrip().startswith(b"["):
            continue
        try:
            rows = list(itertools.islice(_rows(source, upload), _INSPECTED_LINES))
            width = len(rows[0]) if rows and rows[0] else 0
            if width < _MIN_CELLS or any(row is None or len(row) != width for row in rows):
                continue
            path = upload.folder / f"lists{position}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(row or [] for row in _rows(source, upload))
        except DataRejected:
            continue  # reported by the format that reads it
        upload.sources[position] = replace(source, path=path)


def _rows(source: UploadedFile, upload: CorpusFiles) -> Iterator[list[Any] | None]:
    """Yield the cells of the lines; None for a line without such a list."""
    with open_text(source, IssueLog(max_samples=0), upload.limits) as text:
        for line in read_lines(text):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            is_row = isinstance(row, list) and all(isinstance(cell, str | int | float) for cell in row)
            yield row if is_row else None
