"""Item tables: the texts, categories and numbers of the items that histories name.

A dataset of histories has at most one, beside its rows: an item is described once, however often it occurs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

ITEM_TABLE: Final = "items.arrow"
#: Characters of one item that are read.
MAX_ITEM_TEXT_CHARACTERS: Final = 4000
#: Delimiters of several categories in one cell, the likeliest first.
DELIMITERS: Final = ("|", ";", ",")
#: Characters of a category; longer cells are texts.
MAX_CATEGORY_CHARACTERS: Final = 40
#: Largest number of categories of a column, as a fraction of its cells: categories are repeated.
MAX_CATEGORY_FRACTION: Final = 0.5
#: Cells that must be numbers, of those that are not blank.
MIN_NUMBER_FRACTION: Final = 0.95
BLANK_CELLS: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "-", "(no genres listed)"})
_DECORATION: Final = re.compile(r"^[$€£¥]\s*|\s*[$€£¥]$|,(?=\d{3}(?:\D|$))")

ItemColumnKind = Literal["text", "categories", "number"]


class ItemColumn(Config):
    """Kind of a column, by which its cells are read."""

    kind: ItemColumnKind
    #: What divides the categories of one cell; None if a cell is one category.
    delimiter: str | None = None

    def categories(self, cell: str) -> list[str]:
        """Return the categories of a cell, each once."""
        parts = cell.split(self.delimiter) if self.delimiter else [cell]
        return list(dict.fromkeys(part.strip() for part in parts if not is_blank(part)))


class ItemTableSummary(Config):
    """Facts about the item table of a dataset."""

    rows: int
    #: Column -> how it is read, in the order of the file.
    columns: dict[str, ItemColumn] = Field(default_factory=dict)
    #: Items of the histories that the table lacks.
    items_without_text: int = 0
    #: Items of the table that no history has: they can be recommended at once.
    items_without_interactions: int = 0


@dataclass(frozen=True)
class ItemTable:
    """Items by row: their ids, and their cells by column, as text."""

    ids: tuple[str, ...]
    cells: Mapping[str, Sequence[str]]
    columns: Mapping[str, ItemColumn]

    @classmethod
    def of(cls, ids: Sequence[str], cells: Mapping[str, Sequence[str]]) -> Self:
        """Make a table, and detect how its columns are read."""
        return cls(tuple(ids), dict(cells), {name: detect_column(values) for name, values in cells.items()})

    @classmethod
    def join(cls, tables: Sequence[ItemTable]) -> Self:
        """Make one table of several; of equal ids, the first table counts."""
        rows = {item: table.fields(row) for table in reversed(tables) for row, item in enumerate(table.ids)}
        columns = {name: column for table in reversed(tables) for name, column in table.columns.items()}
        return cls(tuple(rows), {name: [fields.get(name, "") for fields in rows.values()] for name in columns}, columns)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def row_by_id(self) -> Mapping[str, int]:
        """Row of each item."""
        return {item: row for row, item in enumerate(self.ids)}

    def fields(self, row: int) -> dict[str, str]:
        """Return the cells of one item by column."""
        return {name: values[row] for name, values in self.cells.items()}

    def text(self, row: int) -> str:
        """Return all cells of an item as one text, empty if they are blank."""
        return describe_item(self.columns, self.fields(row))

    def count_differences(self, items: Collection[str]) -> dict[str, int]:
        """Count items of histories without a text, and the reverse, for `ItemTableSummary`."""
        described = sum(item in self.row_by_id for item in items)
        return {
            "items_without_text": len(items) - described,
            "items_without_interactions": len(self) - described,
        }

    def digest(self) -> str:
        """Return the sha256 of the content."""
        content = json.dumps([self.ids, {name: list(values) for name, values in self.cells.items()}])
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()

    def write(self, directory: Path) -> None:
        """Write the file of the table into the folder of a dataset."""
        # Imported here: a process that only reads summaries needs no Arrow.
        import pyarrow as pa

        arrays = [pa.array(values, pa.large_string()) for values in (self.ids, *self.cells.values())]
        names = [str(number) for number in range(len(arrays))]  # a column may be called like another
        table = pa.table(dict(zip(names, arrays, strict=True)))
        with pa.ipc.new_file(str(directory / ITEM_TABLE), table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def read(cls, directory: Path, columns: Mapping[str, ItemColumn]) -> Self:
        """Read what `write` wrote; raises `OSError` or `ValueError` for a damaged file."""
        import pyarrow as pa

        with pa.memory_map(str(directory / ITEM_TABLE)) as file:
            ids, *cells = (column.to_pylist() for column in pa.ipc.open_file(file).read_all().columns)
        return cls(tuple(ids), dict(zip(columns, cells, strict=True)), dict(columns))


def describe_item(columns: Mapping[str, ItemColumn], fields: Mapping[str, str]) -> str:
    """Return the fields of an item as one text.

    Texts stand as they are, categories and numbers with their column. Fields without a column come last, as texts.
    """
    parts = []
    for name in (*columns, *(name for name in fields if name not in columns)):
        cell = fields.get(name, "").strip()
        if is_blank(cell):
            continue
        column = columns.get(name)
        if column is None or column.kind == "text":
            parts.append(cell)
        else:
            values = column.categories(cell) if column.kind == "categories" else [cell]
            parts.append(f"{name}: {', '.join(values)}")
    return ". ".join(parts)[:MAX_ITEM_TEXT_CHARACTERS]


def to_cell(value: Any) -> str:
    """Return a value of JSON as text; a list becomes its values, divided by bars."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return "|".join(map(to_cell, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()


def to_number(cell: str) -> float | None:
    """Return the number in a cell, such as "$1,200.50"; None if it holds another thing."""
    try:
        number = float(_DECORATION.sub("", cell.strip()))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def is_blank(cell: str) -> bool:
    """Return whether a cell says nothing."""
    return cell.strip().lower() in BLANK_CELLS


def detect_column(cells: Iterable[str]) -> ItemColumn:
    """Return how a column is read: numbers, repeated short categories, or else text."""
    filled = [cell for cell in cells if not is_blank(cell)]
    numbers = sum(to_number(cell) is not None for cell in filled)
    if filled and numbers >= MIN_NUMBER_FRACTION * len(filled):
        return ItemColumn(kind="number")
    for delimiter in (*(mark for mark in DELIMITERS if any(mark in cell for cell in filled)), None):
        column = ItemColumn(kind="categories", delimiter=delimiter)
        counts = Counter(category for cell in filled for category in column.categories(cell))
        is_short = max(map(len, counts), default=0) <= MAX_CATEGORY_CHARACTERS
        if counts and is_short and len(counts) <= MAX_CATEGORY_FRACTION * counts.total():
            return column
    return ItemColumn(kind="text")
