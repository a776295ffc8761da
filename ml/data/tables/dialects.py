"""Dialects of delimited text: delimiter and quoting, decided by the whole file.

Spreadsheets and RFC 4180 enclose cells in quotes and double a quote within; Spark and MySQL escape it by a backslash.
Corpora of sentences are published without any quoting: there a quote is a character, and a backslash may escape a
delimiter (`csv.QUOTE_NONE` with `escapechar`). https://www.rfc-editor.org/rfc/rfc4180.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from ml.data.issues import DataRejected
from ml.data.tables.records import CORPUS_DELIMITERS, Dialect, Quoting, Record, read_records, swallows_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: If several delimiters fit, the first is taken: tabs occur in no sentence.
DELIMITERS: Final = ("\t", ",", ";", "|")
QUOTINGS: Final[tuple[str, ...]] = get_args(Quoting)
_QUOTE: Final = '"'
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
#: What a writer without quoting escapes by a backslash, besides the delimiter.
_ESCAPABLE: Final = '"\\\n'

#: Fraction of regular rows below which a file that cannot be read with quotes is rejected as such.
_MIN_REGULARITY: Final = 0.5
#: Lines by which such a file is judged.
_INSPECTED_LINES: Final = 100_000

Evidence = Literal["none", "clear", "ambiguous"]


@dataclass(frozen=True, slots=True)
class DetectedDialect:
    """Dialect of a file, and how far its quotes decide it."""

    dialect: Dialect
    #: none: the file has no quote at the start of a cell; ambiguous: another quoting reads every row as well.
    evidence: Evidence = "none"

    def describe(self) -> str:
        """Return the quoting in words, with the name that a request may use."""
        return f"quoting: {self.dialect.quoting} ({_WORDS[self.dialect.quoting]})"


_WORDS: Final[dict[str, str]] = {
    "doubled": "cells in quotes, a quote within is doubled",
    "backslash": 'cells in quotes, a quote within is \\"',
    "none": "quotes are characters",
    "none_backslash": "quotes are characters, a backslash escapes",
}


@dataclass(slots=True)
class _Reading:
    """One way to read the whole file, and how regular its rows are."""

    dialect: Dialect
    width: int = 0
    rows: int = 0
    #: Rows with as many cells as the first and valid quoting.
    regular_rows: int = 0
    #: Whether a row of several lines would be a regular row in each of them without quoting.
    swallows_rows: bool = False
    #: Quoted cells that hold a quote, a delimiter or a line end, which a writer must quote.
    needed_quotes: int = 0
    #: Number of cells without a need for quotes, quoted and not, by column.
    quoted_cells: Counter[int] = field(default_factory=Counter)
    bare_cells: Counter[int] = field(default_factory=Counter)

    @property
    def regularity(self) -> float:
        """Fraction of rows that are regular."""
        return self.regular_rows / max(1, self.rows)

    @property
    def key(self) -> tuple[bool, float, int]:
        """Rank among the readings with other delimiters."""
        return self.width > 1, self.regularity, self.width

    def add(self, record: Record) -> None:
        """Count a row."""
        if not self.rows:
            self.width = len(record.cells)
        self.rows += 1
        self.regular_rows += not record.problem and len(record.cells) == self.width

    def add_quoted(self, record: Record) -> None:
        """Count the cells of a row with and without a need for quotes."""
        if record.problem:
            return
        self.swallows_rows |= swallows_rows(record.text, self.dialect.delimiter, self.width)
        for column, (cell, is_quoted) in enumerate(zip(record.cells, record.quoted, strict=True)):
            if is_quoted and (self.dialect.delimiter in cell or "\n" in cell or _QUOTE in cell):
                self.needed_quotes += 1
            elif is_quoted:
                self.quoted_cells[column] += 1
            elif cell and self.rows > 1:  # the header, if there is any, may be bare
                self.bare_cells[column] += 1

    @property
    def unneeded_quotes(self) -> int:
        """Number of cells in quotes without need, outside of columns quoted throughout."""
        return sum(count for column, count in self.quoted_cells.items() if self.bare_cells[column])


def detect_dialect(
    open_lines: Callable[[], Iterator[str]],
    *,
    quoting: str | None = None,
    delimiters: Sequence[str] = DELIMITERS,
) -> DetectedDialect:
    """Return the dialect by which most rows have as many cells as the first.

    All rows count, and memory is constant. If two ways of quoting read every row, quotes enclose cells where a writer
    needed them or quoted a whole column; in tabs or bars, quotes around some other cells are characters.

    Args:
        open_lines: Opens the lines of the file anew.
        quoting: The quoting that the user names; None to detect it.
        delimiters: Possible delimiters, the first is taken if several fit.

    Raises:
        DataRejected: `quoting` is unknown, or a quote encloses more than a cell may hold.
    """
    if quoting is not None and quoting not in QUOTINGS:
        raise DataRejected("invalid_quoting", actual=quoting, expected=", ".join(QUOTINGS))
    first = next((line for line in open_lines() if line.strip()), "")
    candidates = [delimiter for delimiter in delimiters if delimiter in first] or list(delimiters)
    has_quotes, has_backslashes = _scan(open_lines())
    if len(candidates) == 1 and not has_quotes and not has_backslashes:
        return DetectedDialect(Dialect(candidates[0], cast("Quoting", quoting or "doubled")))
    if quoting is not None:
        readings = {
            item: [_read(open_lines, Dialect(item, cast("Quoting", quoting)), has_quotes=has_quotes)]
            for item in candidates
        }
    else:
        readings = {
            item: [
                _read(open_lines, dialect, has_quotes=has_quotes)
                for dialect in _possible(open_lines, item, has_quotes=has_quotes, has_backslashes=has_backslashes)
            ]
            for item in candidates
        }
    chosen = max((_choose(group) for group in readings.values()), key=lambda pair: pair[0].key)
    return DetectedDialect(chosen[0].dialect, chosen[1] if quoting is None else "clear")


def _scan(lines: Iterator[str]) -> tuple[bool, bool]:
    """Return whether a text has quotes, and whether it has backslashes."""
    has_quotes = has_backslashes = False
    for line in lines:
        has_quotes = has_quotes or _QUOTE in line
        has_backslashes = has_backslashes or "\\" in line
        if has_quotes and has_backslashes:
            break
    return has_quotes, has_backslashes


def _possible(
    open_lines: Callable[[], Iterator[str]], delimiter: str, *, has_quotes: bool, has_backslashes: bool
) -> Iterator[Dialect]:
    """Yield the dialects that may differ in this file."""
    yield Dialect(delimiter, "doubled")
    if has_quotes:
        yield Dialect(delimiter, "none")
    if has_backslashes:
        escapes = _count_escapes(open_lines(), delimiter)
        if has_quotes and escapes.quotes:
            yield Dialect(delimiter, "backslash")
        if escapes.is_complete:
            yield Dialect(delimiter, "none_backslash")


@dataclass(slots=True)
class _Escapes:
    """Backslashes of a file."""

    #: Escaped quotes.
    quotes: int = 0
    #: Escaped quotes and delimiters.
    needed: int = 0
    #: Backslashes before any other character.
    others: int = 0
    #: Quotes without a backslash.
    bare_quotes: int = 0

    @property
    def is_complete(self) -> bool:
        """True if backslashes escape only what they must, and every quote."""
        return bool(self.needed) and not self.others and not self.bare_quotes


def _count_escapes(lines: Iterator[str], delimiter: str) -> _Escapes:
    escapes = _Escapes()
    for line in lines:
        if "\\" not in line:
            escapes.bare_quotes += line.count(_QUOTE)
            continue
        for character in _ESCAPED.findall(line):
            escapes.quotes += character == _QUOTE
            escapes.needed += character in (_QUOTE, delimiter)
            escapes.others += character not in (*_ESCAPABLE, delimiter)
        escapes.bare_quotes += _ESCAPED.sub("", line).count(_QUOTE)
    return escapes


def _read(open_lines: Callable[[], Iterator[str]], dialect: Dialect, *, has_quotes: bool) -> _Reading:
    reading, lines = _Reading(dialect), open_lines()
    if dialect.quoting == "none" or (dialect.quoting == "doubled" and not has_quotes):
        _count_unquoted(lines, reading)
        return reading
    try:
        for record in read_records(lines, dialect):
            reading.add(record)
            if any(record.quoted):
                reading.add_quoted(record)
            elif not record.problem:
                _count_bare(reading, record)
    except DataRejected:
        start = _Reading(dialect)
        _count_unquoted(itertools.islice(open_lines(), _INSPECTED_LINES), start)
        if start.regularity < _MIN_REGULARITY:
            raise
        reading.regular_rows = 0
    return reading


def _count_bare(reading: _Reading, record: Record) -> None:
    if reading.rows > 1:
        for column, cell in enumerate(record.cells):
            reading.bare_cells[column] += bool(cell)


def _count_unquoted(lines: Iterator[str], reading: _Reading) -> None:
    """Count rows without quoting: each line is one, and no cell needs to be made."""
    delimiter = reading.dialect.delimiter
    widths = Counter(line.count(delimiter) + 1 for line in lines if line.strip("\n"))
    first = next(iter(widths), 0)  # counters keep the order of appearance
    reading.width, reading.rows, reading.regular_rows = first, widths.total(), widths[first]


def _choose(readings: Sequence[_Reading]) -> tuple[_Reading, Evidence]:
    """Choose among readings with one delimiter; also return how clear the choice is."""
    if len(readings) == 1:
        return readings[0], "none"
    by_name = {reading.dialect.quoting: reading for reading in readings}
    best = max(reading.key for reading in readings)
    fitting = [reading for reading in readings if reading.key == best or _is_quoted_throughout(reading)]
    if "none" not in by_name or by_name["none"] not in fitting:
        chosen = fitting[-1] if fitting[-1].dialect.quoting == "none_backslash" else fitting[0]
        return chosen, "clear"
    if by_name["doubled"] not in fitting:
        escaped = [reading for reading in fitting if reading.dialect.quoting != "none"]
        return (escaped or [by_name["none"]])[0], "clear"
    if "none_backslash" in by_name and by_name["none_backslash"] in fitting:
        return by_name["none_backslash"], "clear"
    return _choose_by_need(by_name["doubled"], by_name["none"])


def _is_quoted_throughout(reading: _Reading) -> bool:
    """Return whether all cells, or all of some columns, are in quotes.

    Every row has equally many cells.

    A delimiter within a text, the same number of times in every row, is no sign of more columns then.
    """
    if reading.width < 2 or reading.regularity < 1 or reading.swallows_rows:
        return False
    cells = reading.needed_quotes + reading.quoted_cells.total()
    return cells == reading.rows * reading.width or 0 < reading.rows <= reading.needed_quotes


def _choose_by_need(doubled: _Reading, none: _Reading) -> tuple[_Reading, Evidence]:
    """Choose between quotes that enclose cells and quotes that are characters.

    Every row is regular in both readings.
    """
    if not doubled.needed_quotes and not doubled.quoted_cells:
        return doubled, "none"
    if doubled.swallows_rows:
        return none, "clear"
    is_corpus = doubled.width > 1 and doubled.dialect.delimiter in CORPUS_DELIMITERS
    if is_corpus and doubled.unneeded_quotes > doubled.needed_quotes:
        return none, "ambiguous"
    return doubled, "clear" if doubled.needed_quotes or not is_corpus or not doubled.unneeded_quotes else "ambiguous"
