"""Tables as delimited text (CSV, TSV).

Well-formed blocks are parsed by Arrow, all others cell by cell, so that every fault has its location.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ml.data.files.text import MAX_LINE_CHARACTERS, open_text, read_blocks, read_lines
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.formats.tables._table_format import TableFormat
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    are_distinct,
    are_measured,
    are_pixels,
    are_references,
    is_number,
    kind_of_texts,
    read_cells,
)
from ml.data.tables.column_detection import detect_columns
from ml.data.tables.layout import CellColumn, Layout
from ml.data.tables.pixels import PixelReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

#: A longer cell in the first row is a sentence, so the table has no header.
_MAX_NAME_WORDS: Final = 3
#: A line before the header by which Excel names the delimiter.
_DELIMITER_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
#: If several delimiters fit, the first is taken: tabs occur in no sentence.
_DELIMITERS: Final = ("\t", ",", ";", "|")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Delimiter, header, columns and layout of one file."""

    delimiter: str
    has_header: bool
    columns: tuple[CellColumn, ...]
    layout: Layout
    #: Whether the first line is Excel's `sep=;`, not a row of the table.
    has_delimiter_line: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]


class NumberedRecord(NamedTuple):
    """The cells of one row with its line and row number, both from 1."""

    line: int
    row: int
    cells: list[str]


class Csv(TableFormat):
    """One row per line: texts, labels, images as pixels or base64.

    Delimiter, header and encoding are detected.
    """

    name = "csv"
    summary = (
        "CSV or TSV: a text and its label, two texts, an image as base64 or one column per pixel; delimited by , ; | "
        "or tab"
    )
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        csv.field_size_limit(MAX_LINE_CHARACTERS)
        pixels = PixelReader(self.issues)
        yield from self.read_files(partial(self._read_file, pixels=pixels))

    def _read_file(self, source: UploadedFile, *, pixels: PixelReader) -> Iterator[Batch]:
        dialect = self._detect_dialect(source)
        if dialect:
            with open_text(source, self.issues, self.limits) as text:
                if dialect.has_delimiter_line:
                    text.readline()
                yield from _FileReader(self, source, dialect, pixels).batches(text)

    def _detect_dialect(self, source: UploadedFile) -> Dialect | None:
        """Detect the dialect by the first lines; None for a file without any row."""
        with open_text(source, type(self.issues)(max_samples=0), self.limits) as text:
            start = [line for line in itertools.islice(read_lines(text), INSPECTED_ROWS) if line.strip()]
        delimiter_line = _DELIMITER_LINE.fullmatch(start[0]) if start else None
        start = start[bool(delimiter_line) :]
        if not start:
            return None
        delimiter = (
            delimiter_line[1]
            if delimiter_line
            else max(_DELIMITERS, key=lambda candidate: _regularity(start, candidate))
        )
        records = [record for record in _parse_records(start, delimiter) if record]
        width = len(records[0])
        if width > self.limits.max_columns:
            expected = f"at most {self.limits.max_columns:,} columns"
            raise DataRejected("table_too_large", actual=f"{width:,} columns", expected=expected)
        has_header = _has_header(records)
        if has_header and len(records) == 1:
            return None
        columns = _describe_columns(records, has_header=has_header)
        layout = self._detect_layout(source, columns, has_header=has_header)
        return Dialect(delimiter, has_header, columns, layout, has_delimiter_line=delimiter_line is not None)

    def _detect_layout(self, source: UploadedFile, columns: Sequence[CellColumn], *, has_header: bool) -> Layout:
        layout = detect_columns(columns, self.requested_columns, has_header=has_header, required=self.required_columns)
        self.detected_columns = self.detected_columns or layout.to_request(columns)
        self.report_layout(source, layout, columns)
        return layout


class _FileReader:
    """Reads one file in one pass."""

    def __init__(self, format: Csv, source: UploadedFile, dialect: Dialect, pixels: PixelReader) -> None:
        self._issues = format.issues
        self._limits = format.limits
        self._source = source
        self._dialect = dialect
        self._pixels = pixels
        self._names = dialect.layout.names(dialect.columns)
        #: Lines read so far.
        self._line = int(dialect.has_delimiter_line)
        #: Rows read so far.
        self._row = 0
        self._is_header_next = dialect.has_header

    def batches(self, text: IO[str]) -> Iterator[Batch]:
        """Read block by block until the first quotation mark.

        After one, the end of a line may not be the end of a row, and all further rows are read cell by cell.
        """
        for block in read_blocks(text):
            if '"' in block:
                remaining_lines = read_lines(text, start=self._line + block.count("\n"))
                yield from self._read_by_cell(itertools.chain(io.StringIO(block), remaining_lines))
                return
            table = self._parse_block(block)
            yield from self._read_by_cell(io.StringIO(block)) if table is None else self._convert_table(table)

    def _parse_block(self, block: str) -> pa.Table | None:
        """Parse the columns of the layout with Arrow; None for a block with any irregularity."""
        layout, width = self._dialect.layout, len(self._dialect.columns)
        first, _, remainder = block.partition("\n")
        body = remainder if self._is_header_next else block
        if not body or not first.strip() or "\n\n" in block:
            return None
        types: dict[str, pa.DataType] = {str(index): pa.float32() for index in layout.pixels}
        types |= {str(index): pa.string() for index in layout.cell_positions}
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

    def _convert_table(self, table: pa.Table) -> Iterator[Batch]:
        header_lines = int(self._is_header_next)
        self._is_header_next = False
        layout = self._dialect.layout
        for start in range(0, len(table), ROWS_PER_BATCH):
            part = table.slice(start, ROWS_PER_BATCH)
            row, line = self._row + start + 1, self._line + header_lines + start + 1
            locations = Locations(
                self._source.name, range(row, row + len(part)), range(line, line + len(part)), self._names
            )
            cells = layout.cells({index: part.column(str(index)).to_pylist() for index in layout.cell_positions})
            pixels = [part.column(str(index)).to_numpy() for index in layout.pixels]
            yield self._batch(cells, np.stack(pixels, axis=1) if pixels else None, locations)
        self._row += len(table)
        self._line += len(table) + header_lines

    def _read_by_cell(self, text_lines: Iterable[str]) -> Iterator[Batch]:
        batch: list[NumberedRecord] = []
        character_count = 0
        for record in self._records(text_lines):
            batch.append(record)
            character_count += sum(map(len, record.cells))
            if len(batch) >= ROWS_PER_BATCH or character_count > BYTES_PER_BATCH:
                yield from self._convert_records(batch)
                batch, character_count = [], 0
        yield from self._convert_records(batch)

    def _records(self, text_lines: Iterable[str]) -> Iterator[NumberedRecord]:
        """Parse row by row.

        A row with bad quoting or a wrong number of cells becomes an issue.
        """
        width = len(self._dialect.columns)
        reader = csv.reader(text_lines, delimiter=self._dialect.delimiter, strict=True)
        lines_before = self._line
        while True:
            line = lines_before + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                self._count_row()
                if "field limit" in str(error):
                    raise DataRejected("cell_too_large", at=self._location(line)) from error
                self._issues.add("bad_quoting", at=self._location(line), actual=error, rows=1)
                continue
            if not cells:
                continue
            if self._is_header_next:
                self._is_header_next = False
                continue
            self._count_row()
            if len(cells) == width:
                yield NumberedRecord(line, self._row, cells)
            else:
                at = self._location(line)
                self._issues.add("ragged_row", at=at, actual=f"{len(cells)} cells", expected=f"{width}", rows=1)
        self._line = lines_before + reader.line_num

    def _count_row(self) -> None:
        self._row += 1
        if self._row > self._limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")

    def _location(self, line: int) -> Location:
        return Location(file=self._source.name, line=line, row=self._row)

    def _convert_records(self, records: Sequence[NumberedRecord]) -> Iterator[Batch]:
        layout = self._dialect.layout
        if layout.pixels:
            records = [record for record in records if self._has_numeric_pixels(record)]
        if not records:
            return
        lines_and_rows = np.array([(line, row) for line, row, _ in records], dtype=np.int64).T
        locations = Locations(self._source.name, rows=lines_and_rows[1], lines=lines_and_rows[0], names=self._names)
        cells = layout.cells({index: [record.cells[index] for record in records] for index in layout.cell_positions})
        numbers = [[float(record.cells[index]) for index in layout.pixels] for record in records]
        yield self._batch(cells, np.array(numbers, dtype=np.float32) if layout.pixels else None, locations)

    def _has_numeric_pixels(self, record: NumberedRecord) -> bool:
        line, row, cells = record
        for index in self._dialect.layout.pixels:
            if not is_number(cells[index]):
                at = Location(file=self._source.name, line=line, row=row, column=self._dialect.names[index])
                self._issues.add(
                    "pixel_not_a_number", at=at, actual=cells[index] or "nothing", expected="a number", rows=1
                )
                return False
        return True

    def _batch(self, cells: Mapping[str, Sequence[str]], pixels: np.ndarray | None, locations: Locations) -> Batch:
        """Convert cells to values; rows that cannot be converted are left out."""
        values, retained_rows = read_cells(cells, locations, self._issues)
        columns: dict[str, Any] = dict(values)
        if pixels is not None:
            locations = locations.take(retained_rows)
            images, retained_rows = self._pixels.read(pixels, self._dialect.layout, locations, self._dialect.names)
            columns = {
                "image": images,
                **{name: [column[index] for index in retained_rows] for name, column in values.items()},
            }
        return Batch(columns, locations.take(retained_rows), self._source.split)


def _describe_columns(records: Sequence[Sequence[str]], *, has_header: bool) -> tuple[CellColumn, ...]:
    """Describe the columns by the first rows.

    Rows with another number of cells than the first are left out.
    """
    width = len(records[0])
    rows = [record for record in records[has_header:] if len(record) == width]
    names = records[0] if has_header else [str(number + 1) for number in range(width)]
    cells = list(zip(*rows, strict=True)) if rows else [()] * width
    return tuple(_describe_column(name, column) for name, column in zip(names, cells, strict=True))


def _describe_column(name: str, cells: Sequence[str]) -> CellColumn:
    mean_characters = sum(map(len, cells)) / max(1, len(cells))
    return CellColumn(
        name,
        kind_of_texts(cells),
        mean_characters,
        are_distinct(cells),
        are_references(cells),
        are_pixels(cells),
        are_measured(cells),
    )


def _parse_records(start: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(start, delimiter=delimiter))
    except csv.Error as error:
        raise DataRejected("bad_quoting", actual=error) from error


def _regularity(start: Sequence[str], delimiter: str) -> tuple[bool, float, int]:
    """Rank a delimiter by how regularly it divides the lines.

    Returns whether there is more than one cell, the fraction of lines with as many cells as the first, and that number.
    """
    widths = [len(record) for record in _parse_records(start, delimiter)]
    return widths[0] > 1, sum(width == widths[0] for width in widths) / len(widths), widths[0]


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds names.

    It does if none of its cells is a number, an image or a sentence, or if a number stands below a cell that is none.
    """
    first, *others = records
    kinds = [kind_of_texts([cell]) for cell in first]
    if "image" in kinds:
        return False
    if "number" not in kinds:
        return all(len(cell.split()) <= _MAX_NAME_WORDS for cell in first)
    below = others[0] if others and len(others[0]) == len(first) else first
    return any(kind == "text" and is_number(cell) for kind, cell in zip(kinds, below, strict=True))
