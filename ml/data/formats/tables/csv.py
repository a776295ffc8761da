"""Tables as delimited text (CSV, TSV).

Well-formed blocks are parsed by Arrow, all others cell by cell, so that every fault has its location.
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ml.data.files.text import detect_encoding, open_lines, open_text, read_blocks, read_lines
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.formats.tables._table_format import TableFormat
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    are_alike,
    are_distinct,
    are_measured,
    are_pixels,
    are_references,
    end_like_sentences,
    ends_like_sentence,
    have_fractions,
    is_number,
    kind_of_texts,
    read_cells,
    repeat_values,
)
from ml.data.tables.column_aliases import CANONICAL_COLUMNS
from ml.data.tables.dialects import DELIMITERS
from ml.data.tables.layout import CellColumn
from ml.data.tables.pixels import PixelReader
from ml.data.tables.records import read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.tables._memberships import Memberships
    from ml.data.tables.layout import Layout
    from ml.data.tables.records import Dialect, Record

#: A longer cell in the first row is a sentence, so the table has no header.
_MAX_NAME_WORDS: Final = 3
#: Cells of data without a value.
_MISSING_MARKS: Final = ("?", "NA", "*", "-")
#: Columns from which on a first row may hold codes.
_MIN_CODES: Final = 3
#: A line before the header by which Excel names the delimiter.
_DELIMITER_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TableDescription:
    """Dialect, header, columns and layout of one file."""

    dialect: Dialect
    #: Whether the user named the quoting, so that nothing else is accepted.
    is_quoting_requested: bool
    has_header: bool
    columns: tuple[CellColumn, ...]
    layout: Layout
    memberships: Memberships
    #: Whether the first line is Excel's `sep=;`, not a row of the table.
    has_delimiter_line: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @property
    def plain_positions(self) -> list[int]:
        """Positions of the read columns that are no texts: there a quote is no character."""
        texts = [name for name in self.layout.columns if CANONICAL_COLUMNS[name] == "text"]
        text_positions = {index for name in texts for index in self.layout.positions_of(name)}
        return [index for index in (*self.layout.cell_positions, *self.layout.pixels) if index not in text_positions]


class TableStart(NamedTuple):
    """Dialect and first rows of one file."""

    dialect: Dialect
    records: list[list[str]]
    #: Whether the first line is Excel's `sep=;`, not a row of the table.
    has_delimiter_line: bool


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
    has_quoting = True
    refuses_markup = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: File -> its first rows, until it is read.
        self._starts: dict[str, TableStart] = {}

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        pixels = PixelReader(self.issues)
        yield from self.read_files(partial(self._read_file, pixels=pixels))

    def _read_file(self, source: UploadedFile, *, pixels: PixelReader) -> Iterator[Batch]:
        table = self._describe_table(source)
        if table:
            with open_text(source, self.issues, self.limits) as text:
                if table.has_delimiter_line:
                    text.readline()
                yield from _FileReader(self, source, table, pixels).batches(text)

    def column_names(self, source: UploadedFile) -> list[str] | None:
        """Return the names of the columns; None for a file without a header."""
        start = self._read_start(source)
        return start.records[0] if start.records and _has_header(start.records) else None

    def _read_start(self, source: UploadedFile) -> TableStart:
        """Detect the dialect by the whole file, and read its first rows."""
        if source.name in self._starts:
            return self._starts[source.name]
        encoding = detect_encoding(source, type(self.issues)(max_samples=0), self.limits)
        lines = partial(open_lines, source, encoding, self.limits)
        first = next((line for line in lines() if line.strip()), "")
        delimiter_line = _DELIMITER_LINE.fullmatch(first)
        skipped = int(delimiter_line is not None)
        dialect = self.detect_dialect(
            source.name,
            lambda: itertools.islice(lines(), skipped, None),
            delimiters=delimiter_line[1] if delimiter_line else DELIMITERS,
        )
        first_record = next(read_records(itertools.islice(lines(), skipped, None), dialect), None)
        width = len(first_record.cells) if first_record else None
        # Rows rather than lines: a text of many lines is one cell.
        rows = read_records(itertools.islice(lines(), skipped, None), dialect, width=width)
        records = [record.cells for record in itertools.islice(rows, INSPECTED_ROWS)]
        self._starts[source.name] = TableStart(dialect, records, has_delimiter_line=delimiter_line is not None)
        return self._starts[source.name]

    def _describe_table(self, source: UploadedFile) -> TableDescription | None:
        """Describe the columns by the first rows; None for a file without any row."""
        start = self._read_start(source)
        del self._starts[source.name]
        records = start.records
        if not records:
            return None
        width = len(records[0])
        if width > self.limits.max_columns:
            expected = f"at most {self.limits.max_columns:,} columns"
            raise DataRejected("table_too_large", actual=f"{width:,} columns", expected=expected)
        has_header = _has_header(records)
        if has_header and len(records) == 1:
            return None
        columns = _describe_columns(records, has_header=has_header)
        samples = list(zip(*(cells for cells in records[has_header:] if len(cells) == width), strict=True))
        layout, memberships = self.detect_layout(source, columns, samples, has_header=has_header)
        return TableDescription(
            start.dialect,
            self.requested_quoting is not None,
            has_header,
            columns,
            layout,
            memberships,
            has_delimiter_line=start.has_delimiter_line,
        )


class _FileReader:
    """Reads one file in one pass."""

    def __init__(self, format: Csv, source: UploadedFile, table: TableDescription, pixels: PixelReader) -> None:
        self._issues = format.issues
        self._limits = format.limits
        self._source = source
        self._table = table
        self._pixels = pixels
        self._names = table.layout.names(table.columns)
        #: Lines read so far.
        self._line = int(table.has_delimiter_line)
        #: Rows read so far.
        self._row = 0
        self._is_header_next = table.has_header

    def batches(self, text: IO[str]) -> Iterator[Batch]:
        """Read block by block, up to the first quote if quotes may enclose cells.

        After one, the end of a line may not be the end of a row, and all further rows are read cell by cell.
        """
        quoting = self._table.dialect.quoting
        for block in read_blocks(text):
            if quoting == "none_backslash" or (quoting != "none" and '"' in block):
                remaining_lines = read_lines(text, start=self._line + block.count("\n"))
                yield from self._read_by_cell(itertools.chain(io.StringIO(block), remaining_lines))
                return
            table = self._parse_block(block)
            if table is None:
                yield from self._read_by_cell(io.StringIO(block))
                self._line += block.count("\n")
            else:
                yield from self._convert_table(table)

    def _parse_block(self, block: str) -> pa.Table | None:
        """Parse the columns of the layout with Arrow; None for a block with any irregularity."""
        layout, width = self._table.layout, len(self._table.columns)
        first, _, remainder = block.partition("\n")
        body = remainder if self._is_header_next else block
        if not body or not first.strip() or "\n\n" in block or self._has_quoted_cell(block):
            return None
        types: dict[str, pa.DataType] = {str(index): pa.float32() for index in layout.pixels}
        types |= {str(index): pa.string() for index in (*layout.cell_positions, *self._table.memberships.positions)}
        encoded = body.encode()
        try:
            return pa_csv.read_csv(
                pa.BufferReader(encoded),
                read_options=pa_csv.ReadOptions(
                    column_names=[str(index) for index in range(width)], use_threads=False, block_size=len(encoded) + 1
                ),
                parse_options=pa_csv.ParseOptions(delimiter=self._table.dialect.delimiter, quote_char=False),
                convert_options=pa_csv.ConvertOptions(
                    column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _convert_table(self, table: pa.Table) -> Iterator[Batch]:
        header_lines = int(self._is_header_next)
        self._is_header_next = False
        layout = self._table.layout
        for start in range(0, len(table), ROWS_PER_BATCH):
            part = table.slice(start, ROWS_PER_BATCH)
            row, line = self._row + start + 1, self._line + header_lines + start + 1
            locations = Locations(
                self._source.name, range(row, row + len(part)), range(line, line + len(part)), self._names
            )
            cells = layout.cells({index: part.column(str(index)).to_pylist() for index in layout.cell_positions})
            pixels = [part.column(str(index)).to_numpy() for index in layout.pixels]
            members = {index: part.column(str(index)).to_pylist() for index in self._table.memberships.positions}
            yield from self._batches(cells, np.stack(pixels, axis=1) if pixels else None, members, locations)
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

    def _has_quoted_cell(self, block: str) -> bool:
        """Return whether rows must be checked for quotes outside of texts."""
        return '"' in block and bool(self._table.plain_positions) and not self._table.is_quoting_requested

    def _records(self, text_lines: Iterable[str]) -> Iterator[NumberedRecord]:
        """Parse row by row.

        A row with bad quoting or a wrong number of cells becomes an issue.
        """
        width = len(self._table.columns)
        for record in read_records(text_lines, self._table.dialect, start=self._line, width=width):
            if self._is_header_next:
                self._is_header_next = False
                continue
            self._count_row()
            at = self._location(record.line)
            problem = self._quoting_problem(record, width)
            if problem:
                self._issues.add("bad_quoting", at=at, actual=problem, rows=1)
            elif len(record.cells) != width:
                actual = f"{len(record.cells)} cells"
                self._issues.add("ragged_row", at=at, actual=actual, expected=f"{width}", rows=1)
            else:
                if record.problem:
                    self._issues.add("quotes_as_text", at=at, actual=record.text, rows=1)
                yield NumberedRecord(record.line, self._row, record.cells)

    def _quoting_problem(self, record: Record, width: int) -> str | None:
        """Return why a row has bad quoting.

        None if its quotes enclose cells, or are characters of a text.
        """
        if self._table.is_quoting_requested or len(record.cells) != width:
            return record.problem
        is_bare = record.problem is not None or self._table.dialect.quoting == "none"
        if is_bare and any(record.cells[index].startswith('"') for index in self._table.plain_positions):
            return record.problem or "a quote that encloses no cell, outside of a text"
        return None

    def _count_row(self) -> None:
        self._row += 1
        if self._row > self._limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")

    def _location(self, line: int) -> Location:
        return Location(file=self._source.name, line=line, row=self._row)

    def _convert_records(self, records: Sequence[NumberedRecord]) -> Iterator[Batch]:
        layout = self._table.layout
        if layout.pixels:
            records = [record for record in records if self._has_numeric_pixels(record)]
        if not records:
            return
        lines_and_rows = np.array([(line, row) for line, row, _ in records], dtype=np.int64).T
        locations = Locations(self._source.name, rows=lines_and_rows[1], lines=lines_and_rows[0], names=self._names)
        cells = layout.cells({index: [record.cells[index] for record in records] for index in layout.cell_positions})
        numbers = [[float(record.cells[index]) for index in layout.pixels] for record in records]
        members = {index: [record.cells[index] for record in records] for index in self._table.memberships.positions}
        array = np.array(numbers, dtype=np.float32) if layout.pixels else None
        yield from self._batches(cells, array, members, locations)

    def _has_numeric_pixels(self, record: NumberedRecord) -> bool:
        line, row, cells = record
        for index in self._table.layout.pixels:
            if not is_number(cells[index]):
                at = Location(file=self._source.name, line=line, row=row, column=self._table.names[index])
                self._issues.add(
                    "pixel_not_a_number", at=at, actual=cells[index] or "nothing", expected="a number", rows=1
                )
                return False
        return True

    def _batches(
        self,
        cells: Mapping[str, Sequence[str]],
        pixels: np.ndarray | None,
        members: Mapping[int, Sequence[str]],
        locations: Locations,
    ) -> Iterator[Batch]:
        """Convert cells to values; rows that cannot be converted are left out."""
        values, retained_rows = read_cells(cells, locations, self._issues)
        members = {index: [column[row] for row in retained_rows] for index, column in members.items()}
        columns: dict[str, Any] = dict(values)
        if pixels is not None:
            locations = locations.take(retained_rows)
            images, retained_rows = self._pixels.read(pixels, self._table.layout, locations, self._table.names)
            columns = {
                "image": images,
                **{name: [column[index] for index in retained_rows] for name, column in values.items()},
            }
            members = {index: [column[row] for row in retained_rows] for index, column in members.items()}
        batch = Batch(columns, locations.take(retained_rows), self._source.split)
        yield from self._table.memberships.divide(
            batch, members, requested_split=self._source.requested_split, issues=self._issues
        )


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
        repeat_values(cells),
        are_alike(cells),
        have_fractions(cells),
        end_like_sentences(cells),
    )


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds names.

    It does if none of its cells is a number, an image or a sentence, or if a number stands below a cell that is none.
    """
    first, *others = records
    kinds = [kind_of_texts([cell]) for cell in first]
    if "image" in kinds:
        return False
    if len(first) > 1 and all(map(ends_like_sentence, first[:2])):
        return False
    if "number" not in kinds:
        return all(len(cell.split()) <= _MAX_NAME_WORDS for cell in first) and not _repeats_below(first, others)
    below = others[0] if others and len(others[0]) == len(first) else first
    return any(
        kind == "text" and is_number(cell) and name.strip() not in _MISSING_MARKS
        for kind, name, cell in zip(kinds, first, below, strict=True)
    )


def _repeats_below(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds codes rather than names of columns.

    Two of its cells are alike, and all of them occur below.
    """
    names = [cell.strip() for cell in first]
    rows = [row for row in others if len(row) == len(first)]
    if len(first) < _MIN_CODES or len(set(names)) == len(names) or not rows or "" in names:
        return False
    return all(name in {row[index].strip() for row in rows} for index, name in enumerate(names))
