"""Tables as one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml.data.files.text import lines, open_text
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format, Locations
from ml.data.issues import Location
from ml.data.tables.cells import INSPECTED_ROWS, CellColumn, are_distinct, find_layout, kind_of_texts, read_cells
from ml.data.tables.column_aliases import KIND_OF, TRANSLATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.tables.cells import CellKind, Layout

    Record = tuple[int, int, dict[str, Any]]
    """Line, row, object."""


class Jsonl(Format):
    """Columns are the keys; a key that an object lacks is a cell without a value."""

    name = "jsonl"
    summary = "JSON lines: one object a row, its keys are the columns"
    columns: ClassVar[Mapping[str, str]] = KIND_OF
    reads: ClassVar[frozenset[FileContent]] = frozenset({"json"})
    takes_columns = True

    def read(self) -> Iterator[Batch]:
        """File by file."""
        yield from self.file_by_file(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        layout: Layout | None = None
        names: list[str] = []
        for records in self._batches(source):
            if layout is None:
                first = [record for _, _, record in records[:INSPECTED_ROWS]]
                columns = _columns(first)
                names = [column.name for column in columns]
                layout = find_layout(columns, self.asked, named=True, wanted=self.wanted)
                self.guess = self.guess or layout.guess(columns)
            lines_and_rows = np.array([(line, row) for line, row, _ in records], dtype=np.int64).T
            called = {canonical: names[index] for canonical, index in layout.columns.items()}
            places = Locations(source.name, rows=lines_and_rows[1], lines=lines_and_rows[0], names=called)
            cells = {
                canonical: [record.get(names[index]) for _, _, record in records]
                for canonical, index in layout.columns.items()
            }
            values, kept = read_cells(cells, places, self.findings)
            yield Batch(values, places.take(kept), source.split)

    def _batches(self, source: UploadedFile) -> Iterator[list[Record]]:
        records: list[Record] = []
        weight = row = 0
        with open_text(source, self.findings, self.limits) as text:
            for number, line in enumerate(lines(text), start=1):
                if not line.strip():
                    continue
                row += 1
                record = self._object(line, Location(file=source.name, line=number, row=row))
                if record is None:
                    continue
                records.append((number, row, record))
                weight += len(line)
                if len(records) >= ROWS_PER_BATCH or weight > BYTES_PER_BATCH:
                    yield records
                    records, weight = [], 0
        if records:
            yield records

    def _object(self, line: str, at: Location) -> dict[str, Any] | None:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            self.findings.add("json_invalid", at=at, found=error, rows=1)
            return None
        if not isinstance(found, dict):
            self.findings.add("json_not_an_object", at=at, found=line.strip(), expected="an object", rows=1)
            return None
        return _flat(found)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Hugging Face puts both languages into one value, {"translation": {"en": ..., "de": ...}}: a column each."""
    both = record.get(TRANSLATION)
    if not isinstance(both, dict):
        return record
    del record[TRANSLATION]
    return {**{f"{TRANSLATION}.{language}": text for language, text in both.items()}, **record}


def _columns(records: Sequence[Mapping[str, Any]]) -> list[CellColumn]:
    names = list(dict.fromkeys(name for record in records for name in record))
    return [_column(name, [record[name] for record in records if record.get(name) is not None]) for name in names]


def _column(name: str, cells: Sequence[Any]) -> CellColumn:
    kind: CellKind = "other"
    if cells and all(isinstance(cell, str) for cell in cells):
        kind = "image" if kind_of_texts(cells) == "image" else "text"
    elif cells and all(isinstance(cell, int | float) for cell in cells):
        kind = "number"
    letters = sum(len(cell) for cell in cells if isinstance(cell, str)) / max(1, len(cells))
    return CellColumn(name, kind, letters, are_distinct(cells))
