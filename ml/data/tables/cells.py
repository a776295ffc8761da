"""Cells of a table: the kind of a column, and conversion to raw values."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from ml.data.cell_values import to_number, to_value
from ml.data.column_types import COLUMN_TYPES
from ml.data.files.images import looks_like_image, parse_pixels
from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import CANONICAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.issues import IssueLog
    from ml.data.locations import Locations

CellKind = Literal["number", "text", "image", "other"]

#: Rows by which the kind of a column is judged.
INSPECTED_ROWS: Final = 20
#: With fewer cells, all of them may differ by coincidence.
MIN_DISTINCT_CELLS: Final = 10
#: Different whole numbers in the inspected cells of a column of classes; of more, they are measured.
MAX_CODES: Final = 10
_BASE64_START: Final = 16
_MAX_PIXEL: Final = 255
#: Fraction of the cells of a column that end like sentences if all are sentences.
_MIN_SENTENCES: Final = 0.8
_SENTENCE_END: Final = re.compile(r"[^\W\d_]{2}[\"'\u00bb\u201d)]?[.!?\u2026\u3002\uff01\uff1f]+[\"'\u00bb\u201d)]?$")
#: Links, addresses, hashes and UUIDs, dates and times, paths of files, and credits of sentences.
_REFERENCE: Final = re.compile(
    r"(https?://|ftp://|s3://|gs://|www\.)\S+$|\S+@\S+\.\w+$|doi:\S+$"
    r"|(?=\S*\d)[0-9a-f]{12,}$|(?=\S*\d)[0-9a-f]+(-[0-9a-f]+){2,}$|(?=\S*\d)[\w-]{20,}$"
    r"|\d{4}-\d\d-\d\d([T ][\d:.]+\S*)?$|\d{1,2}/\d{1,2}/\d{4}( [\d:.]+( ?[AaPp]\.?[Mm]\.?)?)?$"
    r"|[^\s/]+(/[^\s/]+)+\.\w{2,5}$"
    r"|CC[- ](BY|0)\b.*|Attribution: .*",
    re.IGNORECASE,
)


def read_cells(
    cells: Mapping[str, Sequence[Any]], locations: Locations, issues: IssueLog
) -> tuple[dict[str, list[Any]], list[int]]:
    """Convert the cells of N rows to raw values, by canonical column.

    A cell that has no raw value becomes an issue, and its row is left out. Also returns the indices of the remaining
    rows.
    """
    column_types = {column: COLUMN_TYPES[CANONICAL_COLUMNS[column]] for column in cells}
    retained_rows: list[int] = []
    values: dict[str, list[Any]] = {column: [] for column in cells}
    for index in range(len(locations)):
        row = {}
        for column, column_cells in cells.items():
            try:
                row[column] = column_types[column].from_cell(column_cells[index])
            except DataRejected as rejection:
                issues.record(rejection, at=locations.in_column(column).at(index), rows=1)
                break
        else:
            retained_rows.append(index)
            for column, value in row.items():
                values[column].append(value)
    return values, retained_rows


def are_distinct(cells: Sequence[Any]) -> bool:
    """Return whether at least `MIN_DISTINCT_CELLS` cells exist and all differ."""
    return len(cells) >= MIN_DISTINCT_CELLS and len(set(map(str, cells))) == len(cells)


def are_references(cells: Sequence[Any]) -> bool:
    """Return whether most cells refer to something: links, hashes, file names, credits."""
    matches = sum(isinstance(cell, str) and bool(_REFERENCE.match(cell.strip())) for cell in cells)
    return matches * 2 > len(cells)


def are_pixels(cells: Sequence[Any]) -> bool:
    """Return whether all cells are whole numbers from 0 to 255."""
    return bool(cells) and all(_is_pixel(cell) for cell in cells)


def are_measured(cells: Sequence[Any]) -> bool:
    """Return whether numbers are measured rather than codes.

    Some have a fraction, or more than `MAX_CODES` of the cells differ.
    """
    numbers = [cell for cell in map(_parse_number, cells) if cell is not None]
    return any(not number.is_integer() for number in numbers) or len(set(numbers)) > MAX_CODES


def have_fractions(cells: Sequence[Any]) -> bool:
    """Return whether all cells are numbers, some of them with a fraction."""
    numbers = [_parse_number(cell) for cell in cells]
    return None not in numbers and any(number is not None and not number.is_integer() for number in numbers)


def are_alike(cells: Sequence[Any]) -> bool:
    """Return whether at least two cells are given and all are the same."""
    return len(cells) > 1 and len(set(map(str, cells))) == 1


def repeat_values(cells: Sequence[Any]) -> bool:
    """Return whether cells repeat few values.

    These are at most `MAX_CODES`, each twice on average.
    """
    values = [str(cell).strip() for cell in cells if cell is not None and str(cell).strip()]
    return 0 < len(set(values)) <= min(MAX_CODES, len(values) / 2)


def end_like_sentences(cells: Sequence[str]) -> bool:
    """Return whether most cells end with the sign of a sentence.

    Names and classes do not.
    """
    texts = [cell for cell in cells if cell.strip()]
    return bool(texts) and sum(map(ends_like_sentence, texts)) >= _MIN_SENTENCES * len(texts)


def ends_like_sentence(cell: str) -> bool:
    """Return whether a text ends with the sign of a sentence."""
    return _SENTENCE_END.search(cell.strip()) is not None


def kind_of_texts(cells: Sequence[str]) -> CellKind:
    """Judge the kind of a column by its cells.

    It is an image if any cell is one, and a number if more than half of the cells are.
    """
    if any(_holds_image(cell) for cell in cells) or _hold_pixels(cells):
        return "image"
    return "number" if cells and sum(map(_reads_as_number, cells)) * 2 > len(cells) else "text"


def is_number(cell: str) -> bool:
    """Return whether the cell parses as a number, NaN included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _reads_as_number(cell: str) -> bool:
    """Return whether the cell is a number.

    It may have a decimal comma, a currency or a percent sign.
    """
    return is_number(cell) or _parse_number(cell) is not None


def _parse_number(cell: Any) -> float | None:
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return _parse_written(cell) if isinstance(cell, str) else None
    return number if math.isfinite(number) else None


def _parse_written(cell: str) -> float | None:
    """Return the number of a text such as 1.234,5 or $1,200.

    None if it is missing or none.
    """
    value = to_value(cell)
    number = to_number(value, "number")
    return to_number(value, "decimal_comma") if number is None else number


def _is_pixel(cell: Any) -> bool:
    if isinstance(cell, bool):
        return False
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return 0 <= number <= _MAX_PIXEL and number.is_integer()


def _hold_pixels(cells: Sequence[str]) -> bool:
    """Return whether all cells are the pixels of square images of one size."""
    shapes = {None if (pixels := parse_pixels(cell)) is None else pixels.shape for cell in cells}
    return len(shapes) == 1 and None not in shapes


def _holds_image(cell: str) -> bool:
    if cell.startswith("data:image/"):
        return True
    try:
        return looks_like_image(base64.b64decode(cell[:_BASE64_START], validate=True))
    except (binascii.Error, ValueError):
        return False
