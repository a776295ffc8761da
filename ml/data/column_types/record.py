"""Records: the measurements of a row, a value for each column of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ml.data.cell_values import TEXT_FORMS, CellValue, ColumnKind, is_id_name, to_category, to_value
from ml.data.column_types._missing_marks import MarkedNumbers
from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

MAX_COLUMNS: Final = 10_000
#: Characters of one text in a record.
MAX_CHARACTERS: Final = 10_000
#: Different values of a column that are counted; beyond, it has many.
MAX_COUNTED_VALUES: Final = 10_000
#: Fraction of the values of a column that must have one form; the others count as missing.
MIN_FORM_FRACTION: Final = 0.9
#: Above this fraction of different values, a text column names rows or describes them, and has no categories.
MAX_DISTINCT_FRACTION: Final = 0.5
#: From this number of values on, different ones are no coincidence.
MIN_DISTINCT_VALUES: Final = 10
#: Mean words above which different texts are called free text.
MAX_CATEGORY_WORDS: Final = 3
#: A name that says that a column numbers or names rows, if no value occurs twice.
_ROW_NAME: Final = re.compile(r"|index|idx|row|no\.?|nr\.?|key|guid|uuid|unnamed: ?\d+")


class ColumnJudgment(NamedTuple):
    """Kind of a column, and the reason why it or its values are not read."""

    kind: ColumnKind
    reason: str | None = None


@dataclass(slots=True)
class ColumnStatistics:
    """Counts over the values of one column."""

    #: Values that are not missing.
    present: int = 0
    numbers: int = 0
    #: Lists, objects and bytes.
    nested: int = 0
    words: int = 0
    #: Kind -> texts of its form.
    texts: dict[ColumnKind, int] = field(default_factory=lambda: dict.fromkeys(TEXT_FORMS, 0))
    #: Different values, as names of categories; None if there are more than `MAX_COUNTED_VALUES`.
    distinct: set[str] | None = field(default_factory=set)
    are_integers: bool = True
    marked: MarkedNumbers = field(default_factory=MarkedNumbers)
    smallest: float = float("inf")
    largest: float = float("-inf")

    def add(self, value: CellValue) -> None:
        """Count a value that is not missing."""
        self.present += 1
        if isinstance(value, str):
            self.words += len(value.split())
            for kind, has_form in TEXT_FORMS.items():
                self.texts[kind] += has_form(value)
        elif value is not None and not isinstance(value, bool):
            self.numbers += 1
            self.are_integers &= float(value).is_integer()
            self.marked.add(float(value))
            self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
        if self.distinct is not None:
            self.distinct.add(to_category(value) or "")
            if len(self.distinct) > MAX_COUNTED_VALUES:
                self.distinct = None

    @property
    def distinct_fraction(self) -> float:
        """Fraction of values that differ from all others, at least."""
        count = MAX_COUNTED_VALUES if self.distinct is None else len(self.distinct)
        return count / max(1, self.present)

    def judge(self, name: str, rows: int) -> ColumnJudgment:
        """Return the kind of the column, which has `rows` rows."""
        if self.nested:
            return ColumnJudgment("omitted", f"{self.nested:,} values are lists, objects or bytes")
        if not self.present:
            return ColumnJudgment("omitted", "it has no values")
        if self.distinct is not None and len(self.distinct) == 1 and self.present == rows:
            return ColumnJudgment("omitted", "it has one value in all rows")
        is_unique = self.distinct is not None and len(self.distinct) == self.present >= MIN_DISTINCT_VALUES
        if is_unique and (_ROW_NAME.fullmatch(name.strip()) or is_id_name(name)):
            return ColumnJudgment("omitted", "it is an id: no value occurs twice")
        for kind in TEXT_FORMS:
            count = self.texts[kind] + (self.numbers if kind in ("number", "decimal_comma") else 0)
            if count >= MIN_FORM_FRACTION * self.present:
                return self._judge_numbers(kind, count, is_unique=is_unique)
        return self._judge_texts(is_unique=is_unique)

    def _judge_numbers(self, kind: ColumnKind, count: int, *, is_unique: bool) -> ColumnJudgment:
        span = self.largest - self.smallest + 1
        if kind == "number" and is_unique and self.are_integers and span == self.present == self.numbers:
            return ColumnJudgment("omitted", "it numbers the rows")
        if count == self.present:
            return ColumnJudgment(kind)
        noun = "dates" if kind.startswith("date") else "numbers"
        return ColumnJudgment(kind, f"{self.present - count:,} of {self.present:,} values are no {noun}")

    def _judge_texts(self, *, is_unique: bool) -> ColumnJudgment:
        if self.distinct_fraction <= MAX_DISTINCT_FRACTION or self.present < MIN_DISTINCT_VALUES:
            return ColumnJudgment("category")
        if self.words > MAX_CATEGORY_WORDS * self.present:
            return ColumnJudgment("omitted", "it is free text")
        if is_unique:
            return ColumnJudgment("omitted", "it is an id: no value occurs twice")
        return ColumnJudgment("omitted", "more than half of its values are different")


class RecordType(ColumnType[dict[str, CellValue]]):
    """Rows contain values by column; a missing value is None or absent."""

    name = "record"
    noun = "row"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._rows = 0
        self._columns: dict[str, ColumnStatistics] = {}

    def pack(self, value: Mapping[str, Any], at: Location) -> bytes:
        """Return the record as JSON, without missing values."""
        if len(value) > MAX_COLUMNS:
            expected = f"at most {MAX_COLUMNS:,} columns"
            raise DataRejected("table_too_large", actual=f"{len(value):,} columns", expected=expected)
        record: dict[str, CellValue] = {}
        for name, cell in value.items():
            statistics = self._columns.setdefault(name, ColumnStatistics())
            try:
                cell_value = to_value(cell)
            except ValueError:
                statistics.nested += 1
                continue
            if isinstance(cell_value, str):
                cell_value = cell_value[:MAX_CHARACTERS]
            if cell_value is not None:
                statistics.add(cell_value)
                record[name] = cell_value
        if not record:
            raise DataRejected("record_empty")
        self._rows += 1
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> Mapping[str, Any]:
        """Return the cells of a row by column."""
        if not isinstance(cell, Mapping):
            raise DataRejected("record_not_an_object", actual=cell, expected="values by column")
        return cell

    @classmethod
    def unpack(cls, data: bytes) -> dict[str, CellValue]:
        """Return the values by column."""
        record: dict[str, CellValue] = json.loads(data)
        return record

    def are_copies(self, distinct: int, rows: int) -> bool:
        """Return whether equal records are copies: not if few categories make many rows equal."""
        return distinct > rows * MAX_DISTINCT_FRACTION

    def judge_columns(self) -> dict[str, ColumnJudgment]:
        """Return the kind of each column."""
        return {name: statistics.judge(name, self._rows) for name, statistics in self._columns.items()}

    def finish(self) -> None:
        """Report columns that are not read, and values that count as missing."""
        judgments = self.judge_columns()
        for name, judgment in judgments.items():
            at = Location(column=name)
            mark = self._columns[name].marked.find_mark() if judgment.kind == "number" else None
            if mark is not None:
                actual = f"{mark.number:g}: {mark.rows:,} of {self._rows:,} rows"
                self.issues.add("feature_may_mean_none", at=at, actual=actual)
            if judgment.kind == "omitted":
                self.issues.add("feature_omitted", at=at, actual=f"{name}: {judgment.reason}")
            elif judgment.reason:
                self.issues.add("feature_values_not_read", at=at, actual=f"{name}: {judgment.reason}")
            elif self._is_ambiguous(name, judgment.kind):
                self.issues.add("dates_ambiguous", at=at, actual=f"{name}: read as month/day/year")
        if judgments and all(judgment.kind == "omitted" for judgment in judgments.values()):
            self.issues.add("no_features", actual=f"{len(judgments)} columns, none of them readable")

    def _is_ambiguous(self, name: str, kind: ColumnKind) -> bool:
        texts = self._columns[name].texts
        return kind == "date_month_first" and texts["date_day_first"] == texts["date_month_first"]

    def facts(self) -> dict[str, Any]:
        """Return the kind of each column, its missing values, and why it is omitted."""
        columns = {}
        for name, judgment in self.judge_columns().items():
            missing = self._rows - self._columns[name].present
            reason = {"reason": judgment.reason} if judgment.reason else {}
            columns[name] = {"kind": judgment.kind, "missing": missing, **reason}
        return {"columns": columns}
