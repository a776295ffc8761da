"""Tables as text. Clean stretches are parsed by Arrow, all others cell by cell, so that every fault has its place."""

from __future__ import annotations

import csv
import io
import itertools
import re
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ml.data.files.text import MAX_LINE_CHARACTERS, blocks, lines, open_text
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format, Locations
from ml.data.issues import DataRejected, Location
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    CellColumn,
    Layout,
    PixelReader,
    are_distinct,
    find_layout,
    is_number,
    kind_of_texts,
    read_cells,
)
from ml.data.tables.column_aliases import KIND_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

_WORDS_OF_A_NAME: Final = 3
"""What has more in the first row is a sentence, and the table has no header."""
_SAID: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""Excel's way of naming the delimiter, in a line before the header."""
_DELIMITERS: Final = ("\t", ",", ";", "|")
"""The one that stands in no sentence goes first where two would do."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one file is written, and where its columns are."""

    delimiter: str
    has_header: bool
    columns: tuple[CellColumn, ...]
    layout: Layout
    says_delimiter: bool = False
    """Whether its first line is none of the table, but Excel's `sep=;`."""

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [column.name for column in self.columns]


class Csv(Format):
    """One row a line: texts, labels, pictures as pixels or as base64; delimiter, header and encoding are found out."""

    name = "csv"
    summary = "CSV or TSV: a text and its label, two texts, a picture as base64 or one column a pixel; by , ; | or tab"
    columns: ClassVar[Mapping[str, str]] = KIND_OF
    reads: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    takes_columns = True

    def read(self) -> Iterator[Batch]:
        """File by file."""
        csv.field_size_limit(MAX_LINE_CHARACTERS)
        pixels = PixelReader(self.findings)
        yield from self.file_by_file(partial(self._read_file, pixels=pixels))

    def _read_file(self, source: UploadedFile, *, pixels: PixelReader) -> Iterator[Batch]:
        dialect = self._dialect(source)
        if dialect:
            with open_text(source, self.findings, self.limits) as text:
                if dialect.says_delimiter:
                    text.readline()
                yield from _Reading(self, source, dialect, pixels).batches(text)

    def _dialect(self, source: UploadedFile) -> Dialect | None:
        """From the first lines; None where there are none, or only the header."""
        with open_text(source, type(self.findings)(max_samples=0), self.limits) as text:
            start = [line for line in itertools.islice(lines(text), INSPECTED_ROWS) if line.strip()]
        said = _SAID.fullmatch(start[0]) if start else None
        start = start[bool(said) :]
        if not start:
            return None
        delimiter = said[1] if said else max(_DELIMITERS, key=lambda candidate: _evenness(start, candidate))
        records = [record for record in _records(start, delimiter) if record]
        width = len(records[0])
        if width > self.limits.max_columns:
            expected = f"at most {self.limits.max_columns:,} columns"
            raise DataRejected("table_too_large", found=f"{width:,} columns", expected=expected)
        has_header = _has_header(records)
        rows = [record for record in records[has_header:] if len(record) == width]
        if has_header and len(records) == 1:
            return None
        names = records[0] if has_header else [str(number + 1) for number in range(width)]
        cells = list(zip(*rows, strict=True)) if rows else [()] * width
        columns = tuple(column_of(name, each) for name, each in zip(names, cells, strict=True))
        layout = find_layout(columns, self.asked, named=has_header, wanted=self.wanted)
        self.guess = self.guess or layout.guess(columns)
        if layout.shape_assumed:
            self.findings.add(
                "pixels_shape_assumed", at=Location(file=source.name), found=f"{len(layout.pixels)} columns"
            )
        return Dialect(delimiter, has_header, columns, layout, says_delimiter=said is not None)


class _Reading:
    """One pass through one file."""

    def __init__(self, format: Csv, source: UploadedFile, dialect: Dialect, pixels: PixelReader) -> None:
        self._findings = format.findings
        self._limits = format.limits
        self._source = source
        self._dialect = dialect
        self._pixels = pixels
        self._names = dialect.layout.names(dialect.columns)
        self._line = int(dialect.says_delimiter)
        """Read so far."""
        self._row = 0
        self._header_is_next = dialect.has_header

    def batches(self, text: IO[str]) -> Iterator[Batch]:
        """Block by block as long as no quote is met: behind one, a line's end need not be a row's end."""
        for block in blocks(text):
            if '"' in block:
                rest = lines(text, before=self._line + block.count("\n"))
                yield from self._by_cell(itertools.chain(io.StringIO(block), rest))
                return
            table = self._at_once(block)
            yield from self._by_cell(io.StringIO(block)) if table is None else self._convert(table)

    def _at_once(self, block: str) -> pa.Table | None:
        """The cells that matter, typed; None where anything is odd."""
        layout, width = self._dialect.layout, len(self._dialect.columns)
        first, _, rest = block.partition("\n")
        body = rest if self._header_is_next else block
        if not body or not first.strip() or "\n\n" in block:
            return None
        types: dict[str, pa.DataType] = {str(index): pa.float32() for index in layout.pixels}
        types |= {str(index): pa.string() for index in layout.columns.values()}
        encoded = body.encode()
        try:
            return pa_csv.read_csv(
                pa.BufferReader(encoded),
                read_options=pa_csv.ReadOptions(
                    column_names=[str(index) for index in range(width)], use_threads=False, block_size=len(encoded) + 1
                ),
                parse_options=pa_csv.ParseOptions(delimiter=self._dialect.delimiter, quote_char=False),
                convert_options=pa_csv.ConvertOptions(
                    column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _convert(self, table: pa.Table) -> Iterator[Batch]:
        skipped = int(self._header_is_next)
        self._header_is_next = False
        layout = self._dialect.layout
        for start in range(0, len(table), ROWS_PER_BATCH):
            part = table.slice(start, ROWS_PER_BATCH)
            row, line = self._row + start + 1, self._line + skipped + start + 1
            places = Locations(
                self._source.name, range(row, row + len(part)), range(line, line + len(part)), self._names
            )
            cells = {name: part.column(str(index)).to_pylist() for name, index in layout.columns.items()}
            pixels = [part.column(str(index)).to_numpy() for index in layout.pixels]
            yield self._batch(cells, np.stack(pixels, axis=1) if pixels else None, places)
        self._row += len(table)
        self._line += len(table) + skipped

    def _by_cell(self, rows: Iterable[str]) -> Iterator[Batch]:
        dialect = self._dialect
        reader = csv.reader(rows, delimiter=dialect.delimiter, strict=True)
        kept: list[tuple[int, int, list[str]]] = []
        weight = 0
        before = self._line
        while True:
            line = before + reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                self._next_row()
                if "field limit" in str(error):
                    raise DataRejected("cell_too_large", at=self._place(line)) from error
                self._findings.add("bad_quoting", at=self._place(line), found=error, rows=1)
                continue
            if not record:
                continue
            if self._header_is_next:
                self._header_is_next = False
                continue
            self._next_row()
            if len(record) != len(dialect.columns):
                found, expected = f"{len(record)} cells", f"{len(dialect.columns)}"
                self._findings.add("ragged_row", at=self._place(line), found=found, expected=expected, rows=1)
                continue
            kept.append((line, self._row, record))
            weight += sum(map(len, record))
            if len(kept) >= ROWS_PER_BATCH or weight > BYTES_PER_BATCH:
                yield from self._convert_cells(kept)
                kept, weight = [], 0
        self._line = before + reader.line_num
        yield from self._convert_cells(kept)

    def _next_row(self) -> None:
        self._row += 1
        if self._row > self._limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")

    def _place(self, line: int) -> Location:
        return Location(file=self._source.name, line=line, row=self._row)

    def _convert_cells(self, kept: Sequence[tuple[int, int, list[str]]]) -> Iterator[Batch]:
        layout = self._dialect.layout
        if layout.pixels:
            kept = [entry for entry in kept if self._is_numeric(entry)]
        if not kept:
            return
        records = [record for _, _, record in kept]
        lines_and_rows = np.array([(line, row) for line, row, _ in kept], dtype=np.int64).T
        places = Locations(self._source.name, rows=lines_and_rows[1], lines=lines_and_rows[0], names=self._names)
        cells = {name: [record[index] for record in records] for name, index in layout.columns.items()}
        numbers = [[float(record[index]) for index in layout.pixels] for record in records]
        yield self._batch(cells, np.array(numbers, dtype=np.float32) if layout.pixels else None, places)

    def _is_numeric(self, entry: tuple[int, int, list[str]]) -> bool:
        line, row, record = entry
        for index in self._dialect.layout.pixels:
            if not is_number(record[index]):
                at = Location(file=self._source.name, line=line, row=row, column=self._dialect.names[index])
                self._findings.add(
                    "pixel_not_a_number", at=at, found=record[index] or "nothing", expected="a number", rows=1
                )
                return False
        return True

    def _batch(self, cells: Mapping[str, Sequence[str]], pixels: np.ndarray | None, places: Locations) -> Batch:
        """Cells to values, less the rows where that cannot be."""
        values, kept = read_cells(cells, places, self._findings)
        columns: dict[str, Any] = dict(values)
        if pixels is not None:
            places = places.take(kept)
            pictures, kept = self._pixels.read(pixels, self._dialect.layout, places, self._dialect.names)
            columns = {"image": pictures, **{name: [each[index] for index in kept] for name, each in values.items()}}
        return Batch(columns, places.take(kept), self._source.split)


def column_of(name: str, cells: Sequence[str]) -> CellColumn:
    """What a column of text looks like, by its first cells."""
    letters = sum(map(len, cells)) / max(1, len(cells))
    return CellColumn(name, kind_of_texts(cells), letters, are_distinct(cells))


def _records(start: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(start, delimiter=delimiter))
    except csv.Error as error:
        raise DataRejected("bad_quoting", found=error) from error


def _evenness(start: Sequence[str], delimiter: str) -> tuple[bool, float, int]:
    """How well the lines part into the same number of cells, more than one."""
    widths = [len(record) for record in _records(start, delimiter)]
    return widths[0] > 1, sum(width == widths[0] for width in widths) / len(widths), widths[0]


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Names, if nothing in the first row is a number, a picture or a sentence, or numbers stand below what is none."""
    first, *others = records
    kinds = [kind_of_texts([cell]) for cell in first]
    if "image" in kinds:
        return False
    if "number" not in kinds:
        return all(len(cell.split()) <= _WORDS_OF_A_NAME for cell in first)
    below = others[0] if others and len(others[0]) == len(first) else first
    return any(kind == "text" and is_number(cell) for kind, cell in zip(kinds, below, strict=True))
