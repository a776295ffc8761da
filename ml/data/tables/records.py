"""Records of delimited text: the cells of one row after another, in a known dialect."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ml.data.files.text import MAX_LINE_CHARACTERS
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Quoting = Literal["doubled", "backslash", "none", "none_backslash"]
_QUOTE: Final = '"'
#: From a quote up to the one that closes it, or to the end of the text.
_QUOTED: Final = {
    "doubled": re.compile(r'"((?:[^"]++|"")*+)("?)'),
    "backslash": re.compile(r'"((?:[^"\\]++|\\.)*+)("?)', re.DOTALL),
}
#: Delimiters of corpora: they occur in no sentence, and their files are rarely quoted.
CORPUS_DELIMITERS: Final = ("\t", "|")
#: Lines of one cell that may each have as many commas as a row.
MAX_LINES_LIKE_ROWS: Final = 3
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
#: Characters read ahead for quotes that close nowhere, in all of a file; beyond them a row ends at its line.
_MAX_LOOKAHEAD_CHARACTERS: Final = 2 << 20
#: Lines of one cell.
_MAX_CELL_LINES: Final = 500_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """Delimiter and quoting of a text."""

    delimiter: str
    quoting: Quoting = "doubled"


class Record(NamedTuple):
    """Cells of one row."""

    #: Number of its first line, from 1.
    line: int
    cells: list[str]
    #: Why the quoting is invalid; the cells are then those without quoting. None for a valid row.
    problem: str | None = None
    #: Whether each cell was enclosed in quotes; empty if none was.
    quoted: Sequence[bool] = ()
    #: The lines of a row with quotes, without the last line end; empty for another row.
    text: str = ""


def read_records(
    lines: Iterable[str], dialect: Dialect, *, start: int = 0, width: int | None = None
) -> Iterator[Record]:
    """Yield the rows of a text; blank lines are passed over.

    A quote that opens a cell and never closes, or is followed by something else than a delimiter, ends with its line:
    the row has a problem, and the next line is a row of its own. So it is if quotes enclose lines that are rows of
    `width` cells themselves.

    Args:
        lines: The lines of the text.
        dialect: Delimiter and quoting.
        start: Number of lines that were read before.
        width: Cells of a row, if they are known.

    Raises:
        DataRejected: Quotes enclose more than a cell may hold, and no rows.
    """
    match dialect.quoting:
        case "none":
            yield from _read_unquoted(lines, dialect.delimiter, start)
        case "none_backslash":
            yield from _read_escaped(lines, dialect.delimiter, start)
        case _:
            yield from _QuotedReader(lines, dialect, start, width or 0).records()


def swallows_rows(text: str, delimiter: str, width: int) -> bool:
    """Return whether each line of a quoted text is a row of `width` cells.

    Its quotes then enclose no cell.

    Sentences contain commas, so that a cell of two or three lines may look like that.
    """
    lines = text.split("\n")
    is_enough = len(lines) > (1 if delimiter in CORPUS_DELIMITERS else MAX_LINES_LIKE_ROWS)
    return width > 1 and is_enough and all(line.count(delimiter) == width - 1 for line in lines)


def _read_unquoted(lines: Iterable[str], delimiter: str, start: int) -> Iterator[Record]:
    for number, line in enumerate(lines, start=start + 1):
        if text := line.rstrip("\n"):
            yield Record(number, text.split(delimiter))


def _read_escaped(lines: Iterable[str], delimiter: str, start: int) -> Iterator[Record]:
    csv.field_size_limit(MAX_LINE_CHARACTERS)
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, escapechar="\\", quotechar=None)
    line = start + 1
    for cells in reader:
        if cells:
            yield Record(line, cells)
        line = start + reader.line_num + 1


class _QuotedReader:
    """Reads rows whose cells may be in quotes and contain line ends."""

    def __init__(self, lines: Iterable[str], dialect: Dialect, start: int, width: int) -> None:
        self._lines = iter(lines)
        self._width = width
        self._delimiter = dialect.delimiter
        self._quoting = dialect.quoting
        self._quoted = _QUOTED[dialect.quoting]
        self._line = start
        #: Texts whose lines are read again, the next one last.
        self._pending: list[Iterator[str]] = []
        self._lookahead = 0

    def records(self) -> Iterator[Record]:
        """Yield the rows."""
        while (line := self._next_line()) is not None:
            text = line.rstrip("\n")
            if not text:
                continue
            if _QUOTE not in text:
                yield Record(self._line, text.split(self._delimiter))
                continue
            yield self._read_quoted(text)

    def _next_line(self) -> str | None:
        line = None
        while line is None and self._pending:
            line = next(self._pending[-1], None)
            if line is None:
                self._pending.pop()
        line = next(self._lines, None) if line is None else line
        self._line += line is not None
        return line

    def _read_quoted(self, text: str) -> Record:
        number = self._line
        parsed = self._parse(text)
        if isinstance(parsed, int):
            whole = self._join_lines(text, parsed)
            parsed = self._parse(whole) if whole is not None else parsed
            if isinstance(parsed, tuple) and not swallows_rows(whole or "", self._delimiter, self._width):
                return Record(number, *self._with_text(parsed, whole or text))
            if whole is not None:
                below = whole.partition("\n")[2]
                self._read_again(io.StringIO(f"{below}\n"), below.count("\n") + 1)
            return Record(number, text.split(self._delimiter), "the quote is not closed", text=text)
        if parsed is None:
            problem = f"a delimiter ({self._delimiter!r}) is expected after the closing quote"
            return Record(number, text.split(self._delimiter), problem, text=text)
        return Record(number, *self._with_text(parsed, text))

    @staticmethod
    def _with_text(parsed: tuple[list[str], list[bool]], text: str) -> tuple[list[str], None, list[bool], str]:
        cells, quoted = parsed
        return cells, None, quoted, text

    def _parse(self, text: str) -> tuple[list[str], list[bool]] | int | None:
        """Return the cells and whether each is quoted.

        For a text that ends within quotes, the position of the opening quote is returned; None for invalid quoting.
        """
        cells: list[str] = []
        quoted: list[bool] = []
        position = 0
        while True:
            is_quoted = text.startswith(_QUOTE, position)
            quoted.append(is_quoted)
            if is_quoted:
                match = self._quoted.match(text, position)
                if match is None or not match[2]:
                    return position
                end = match.end()
                cells.append(self._unescape(match[1]))
                if end < len(text) and not text.startswith(self._delimiter, end):
                    return None
            else:
                end = text.find(self._delimiter, position)
                end = len(text) if end < 0 else end
                cells.append(text[position:end])
            if end >= len(text):
                return cells, quoted
            position = end + len(self._delimiter)

    def _unescape(self, cell: str) -> str:
        if self._quoting == "doubled":
            return cell.replace('""', _QUOTE)
        return _ESCAPE.sub(lambda match: match[1] if match[1] in '"\\' else match[0], cell)

    def _join_lines(self, text: str, opening: int) -> str | None:
        """Return the row with all lines up to the one in which quotes close.

        None if they close nowhere, or only too far below; those lines are read again. Raises `DataRejected` if they
        are no rows either.
        """
        joined = io.StringIO()
        count = line_count = row_count = 0
        is_open = self._count_quotes(text[opening:]) % 2 == 1
        while is_open:
            line = self._next_line()
            joined.write(line or "")
            is_too_large = count > MAX_LINE_CHARACTERS or line_count > _MAX_CELL_LINES
            if line is None or is_too_large or self._lookahead > _MAX_LOOKAHEAD_CHARACTERS:
                if is_too_large and 2 * row_count < line_count:
                    expected = f"cells of at most {MAX_LINE_CHARACTERS:,} characters"
                    raise DataRejected("cell_too_large", expected=expected, at=Location(line=self._line - line_count))
                self._read_again(joined, line_count + (line is not None))
                return None
            count += len(line)
            line_count += 1
            row_count += line.count(self._delimiter) == text.count(self._delimiter)
            is_open ^= self._count_quotes(line) % 2 == 1
        return f"{text}\n{joined.getvalue()}".removesuffix("\n")

    def _count_quotes(self, text: str) -> int:
        return (text if self._quoting == "doubled" else _ESCAPE.sub("", text)).count(_QUOTE)

    def _read_again(self, text: io.StringIO, line_count: int) -> None:
        self._lookahead += text.seek(0, io.SEEK_END)
        text.seek(0)
        self._pending.append(text)
        self._line -= line_count
