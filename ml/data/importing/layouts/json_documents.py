"""JSON objects that hold a table.

The rows stand in a list or in lists by split, or the columns stand in lists, as pandas writes them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.upload import find_split
from ml.data.formats import FORMATS
from ml.data.formats.base import UNLIKELY
from ml.data.formats.text._messages import find_messages_keys
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

#: A document is held in memory as a whole.
_MAX_DOCUMENT_BYTES: Final = 256 << 20
#: Lists of annotations, and of documents with rows deeper within.
_OTHER_LISTS: Final = ("images", "annotations", "categories", "shapes", "features", "events")
_PAIR: Final = 2


def read(upload: CorpusFiles) -> None:
    """Replace such documents by their rows."""
    sources: list[UploadedFile] = []
    for source in upload.sources:
        tables = _read_tables(source, upload) if source.content == "json" and not _is_record(source) else {}
        for split, rows in tables.items():
            name = source.name if split is None else f"{source.name} ({split})"
            upload.add_rows(name, rows)
            requested = source.requested_split or (split and find_split(split))
            sources.append(replace(upload.sources.pop(), requested_split=requested))
        if tables:
            actual = ", ".join(f"{len(rows):,} rows{f' of {split}' if split else ''}" for split, rows in tables.items())
            upload.issues.add("document_as_rows", at=Location(file=source.name), actual=actual)
        else:
            sources.append(source)
    upload.sources = sources


def _is_record(source: UploadedFile) -> bool:
    """Return whether an object is one conversation or one session, rather than a table."""
    return any(FORMATS[name].detect([source], None) > UNLIKELY for name in ("conversations", "interactions"))


def _read_tables(source: UploadedFile, upload: CorpusFiles) -> dict[str | None, list[dict[str, Any]]]:
    """Return the rows of a document by split; empty for another file."""
    if source.path.stat().st_size > _MAX_DOCUMENT_BYTES:
        return {}
    try:
        with source.open(upload.limits) as file:
            document = json.loads(file.read())
    except (DataRejected, ValueError, RecursionError):
        return {}  # JSON lines, or damaged, which its format reports
    if not isinstance(document, dict) or len(document) == 0:
        return {}
    if find_messages_keys(document):
        return {None: [document]}  # one conversation on several lines
    if all(isinstance(value, list) and find_split(key) for key, value in document.items()):
        tables = {key: list(_rows(value)) for key, value in document.items()}
        return dict(tables) if all(tables.values()) else {}
    if columns := _columns_to_rows(document):
        return {None: columns}
    lists = {key: value for key, value in document.items() if isinstance(value, list) and len(value) > 1}
    if len(lists) != 1 or next(iter(lists)) in _OTHER_LISTS:
        return {}
    rows = list(_rows(next(iter(lists.values()))))
    return {None: rows} if rows else {}


def _rows(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield objects, or pairs of a text and its label."""
    if all(isinstance(value, dict) and (_is_plain(value) or find_messages_keys(value)) for value in values):
        yield from values
    elif all(isinstance(value, list) and len(value) == _PAIR and isinstance(value[0], str) for value in values):
        yield from ({"text": text, "label": label} for text, label in values)


def _is_plain(row: dict[str, Any]) -> bool:
    """Return whether no cell holds rows itself."""
    lists = [cell for cell in row.values() if isinstance(cell, list)]
    return all(cell and not isinstance(cell[0], dict | list) for cell in lists)


def _columns_to_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns of equal length; empty for anything else."""
    columns = list(document.values())
    if len(columns) < _PAIR:
        return []
    if all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        values = [list(column.values()) for column in columns]
    elif all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        values = columns
    else:
        return []
    is_plain = all(not isinstance(cell, dict | list) for column in values for cell in column)
    rows = [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)] if is_plain else []
    return rows if len(rows) > 1 else []
