"""Tables of items beside a log of interactions: `items.csv`, MovieLens's `movies.csv`, RecBole's `.item`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.items import parse_item
from ml.data.files.text import open_text, read_lines
from ml.data.formats.behavior._interaction_log import drop_fractions
from ml.data.formats.behavior._log_columns import find_fields, normalize_name
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.item_table import ItemTable, is_blank, to_cell
from ml.data.limits import Limits
from ml.data.tables.cells import is_number
from ml.data.tables.dialects import DELIMITERS
from ml.data.tables.manifests import read_manifest
from ml.data.tables.records import Dialect, read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.tables.manifests import DialectDetection

#: Suffix of RecBole's tables of items.
RECBOLE_ITEM_SUFFIX: Final = ".item"
#: Usual names of a table of items.
TABLE_NAMES: Final = re.compile(
    r"(items?|movies?|products?|films?|books?|songs?|tracks?|articles?|videos?|games?|news|recipes?|courses?"
    r"|catalog(ue)?|(item|product|movie)[_-]?(meta(data)?|features?|info|catalog|texts?))"
    r"([ _-]?\(?\d{1,5}\)?)?\.",  # of several parts
    re.IGNORECASE,
)
#: Delimiter of MovieLens's tables without column names.
MOVIELENS_DELIMITER: Final = "::"
#: Names of the column of ids besides those that a log uses.
ID_NAMES: Final = ("id", "identifier", "key")


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A table of items, and where its ids are."""

    table: ItemTable
    file: str
    id_column: str

    def join(self, earlier: ItemFile | None) -> ItemFile:
        """Return one table with the items of a later one, whose texts count."""
        if earlier is None:
            return self
        table = ItemTable.join([earlier.table, self.table])
        return replace(earlier, table=ItemTable.of(table.ids, table.cells))

    def match(self, items: Mapping[str, Location | None], issues: IssueLog) -> dict[str, int]:
        """Report items without a text and texts without an item; return their counts.

        `items` are those of the histories, with any of their locations.
        """
        table, at = self.table, Location(file=self.file, column=self.id_column)
        if not items.keys() & table.row_by_id.keys():
            expected = f"ids of interactions, such as {next(iter(items), None)}"
            issues.add("items_match_nothing", at=replace(at, row=1), actual=table.ids[0], expected=expected)
        without_text = [item for item in items if item not in table.row_by_id]
        without_interactions = [item for item in table.ids if item not in items]
        for code, names in (("items_not_described", without_text), ("items_not_in_log", without_interactions)):
            if names:
                row = table.row_by_id.get(names[0])
                issues.add(
                    code, at=replace(at, row=None if row is None else row + 1), actual=names[0], count=len(names)
                )
        return table.count_differences(items)


def has_item_name(name: str) -> bool:
    """Return whether a file is named like a table of items."""
    path = PurePosixPath(name)
    return path.suffix.lower() == RECBOLE_ITEM_SUFFIX or TABLE_NAMES.match(path.name) is not None


def is_item_table(source: UploadedFile) -> bool:
    """Return whether a file is named like a table of items, and lists no users."""
    if not has_item_name(source.name) or source.content not in ("text", "json"):
        return False
    names = _read_names(source)
    if MOVIELENS_DELIMITER in "".join(names):
        return False  # MovieLens's `movies.dat` has no column names
    has_names = len(names) > 1 and not any(not name.strip() or is_number(name) for name in names)
    return has_names and not {"user", "history"} & find_fields(names).keys()


def read_item_table(
    source: UploadedFile, issues: IssueLog, limits: Limits, *, detect_dialect: DialectDetection
) -> ItemFile | None:
    """Read a table of items; None if it has no readable row.

    The first row of an item counts. Raises `DataRejected` if no column has the ids of items, or for too many rows.
    """
    names = _read_names(source)
    id_name = find_id_column(names)
    if id_name is None:
        expected = "a column item, item_id, movieId, product_id or id"
        at = Location(file=source.name, row=1, column=", ".join(names)[:200])
        raise DataRejected("item_column_missing", actual=", ".join(names), expected=expected, at=at)
    rows: dict[str, dict[str, str]] = {}
    for row in read_manifest(source, issues, limits, detect_dialect=detect_dialect):
        at = row.location
        cells = {name: to_cell(cell) for name, cell in row.cells.items()}
        column = replace(at, column=id_name)
        try:
            item = parse_item(row.cells.get(id_name) if row.cells.get(id_name) is not None else "")
        except DataRejected as rejection:
            issues.record(rejection, at=column, rows=1)
            continue
        if item in rows:
            issues.add("item_repeated", at=column, actual=item)
            continue
        if len(rows) >= limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {limits.max_rows:,} rows")
        rows[item] = {name: cell for name, cell in cells.items() if name != id_name}
        if all(map(is_blank, rows[item].values())):
            columns = ", ".join(rows[item])[:200]
            issues.add("item_without_text", at=replace(at, column=columns), actual=item)
    return ItemFile(_to_table(source, rows, issues), source.name, id_name) if rows else None


def find_id_column(names: Sequence[str]) -> str | None:
    """Return the name of the column with the ids of items; None without one."""
    fields = find_fields(names)
    if "item" in fields:
        return names[fields["item"]]
    by_name = {normalize_name(name): name for name in reversed(names)}
    return next((by_name[name] for name in ID_NAMES if name in by_name), None)


def _to_table(source: UploadedFile, rows: Mapping[str, Mapping[str, str]], issues: IssueLog) -> ItemTable:
    """Return the table of all columns that say something about any item."""
    names = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    columns = {name: [cells.get(name, "") for cells in rows.values()] for name in names}
    blank = [name for name, cells in columns.items() if all(map(is_blank, cells))]
    for name in blank:
        issues.add("item_column_blank", at=Location(file=source.name, column=name))
    kept_columns = {_plain(name): cells for name, cells in columns.items() if name not in blank}
    return ItemTable.of(drop_fractions(list(rows)), kept_columns)


def _plain(name: str) -> str:
    """Return a column name without the type that RecBole writes behind it: `title:token_seq`."""
    return name.partition(":")[0].strip() or name


def _read_names(source: UploadedFile) -> list[str]:
    """Return the column names of a table or the keys of its first object."""
    try:
        with open_text(source, IssueLog(max_samples=0), Limits()) as text:
            first = next((line for line in read_lines(text) if line.strip()), "").rstrip("\n")
    except DataRejected:
        return []  # the format that reads this file reports what is wrong with it
    if source.content == "json":
        return _read_keys(first)
    dialect = Dialect(max(DELIMITERS, key=first.count))
    return [name.strip() for name in next((record.cells for record in read_records([first], dialect)), [])]


def _read_keys(line: str) -> list[str]:
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return list(record) if isinstance(record, dict) else []
