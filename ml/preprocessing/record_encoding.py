"""Records as numbers: normalized numbers, parts of dates, codes of categories.

Exported ONNX folders run a copy of this file.

B batch, N numbers, C categorical columns.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ml.data.cell_values import CellValue, ColumnKind, days_since_epoch, to_category, to_date, to_number, to_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Codes of a categorical column before those of its categories.
UNKNOWN: Final = 0
MISSING: Final = 1
FIRST_CATEGORY: Final = 2
#: Values of one number: normalized, as a quantile, whether it is missing.
VALUES_PER_NUMBER: Final = 3
#: Limit of normalized numbers: a wrong unit must not outweigh all other columns.
MAX_NORMALIZED: Final = 8.0
#: Number of records up to which each cell is encoded by itself.
MAX_ROWS_BY_CELL: Final = 32
#: Parts of a date, each a number of its own.
DATE_PARTS: Final = ("days", "day_of_year", "weekday", "hour")


class RecordEncoding:
    """Columns of an encoder, prepared for many calls."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is JSON of the encoder."""
        self._numbers = config["numbers"]
        self._columns = [_Column.of(number) for number in self._numbers]
        self._categories: list[tuple[str, dict[str, int], int]] = []
        offset = 0
        for column in config["categories"]:
            codes = {name: code for code, name in enumerate(column["names"], start=FIRST_CATEGORY)}
            self._categories.append((column["name"], codes, offset))
            offset += FIRST_CATEGORY + len(column["names"])

    def encode(self, records: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Encode records to float32 [B, 3 N + C].

        The first 3 N values are, for each number, its distance from the mean in standard deviations, its quantile from
        0 to 1, and 1 if it is missing (then the others are 0). The last C are codes of categories, counted over all
        columns.
        """
        codes = np.array([self._codes(record) for record in records], dtype=np.float32).reshape(len(records), -1)
        if len(records) <= MAX_ROWS_BY_CELL:
            rows = [[value for column in self._columns for value in column.encode(record)] for record in records]
            parts = [np.array(rows, dtype=np.float64).astype(np.float32).reshape(len(records), -1)]
        else:
            values_BN = read_numbers(records, self._numbers)
            parts = [_encode_number(values_BN[:, index], number) for index, number in enumerate(self._numbers)]
        return np.concatenate([*parts, codes], axis=1)

    def _codes(self, record: Mapping[str, Any]) -> list[int]:
        codes = []
        for name, code_of, offset in self._categories:
            category = to_category(record.get(name))
            codes.append(offset + (MISSING if category is None else code_of.get(category, UNKNOWN)))
        return codes


class _Column(NamedTuple):
    """One number of records, encoded cell by cell.

    The arithmetic is that of `_encode_number`; for few records, calls of numpy take far longer.
    """

    name: str
    kind: ColumnKind
    part: str | None
    mean: float
    deviation: float
    knots: list[float]
    quantiles: list[float]

    @classmethod
    def of(cls, number: Mapping[str, Any]) -> _Column:
        """Read the column from JSON of the encoder."""
        knots = list(number["knots"])
        quantiles = np.linspace(0, 1, len(knots)).tolist()
        return cls(
            number["name"], number["kind"], number["part"], number["mean"], number["deviation"], knots, quantiles
        )

    def encode(self, record: Mapping[str, Any]) -> tuple[float, float, float]:
        """Return the three values of the number of a record."""
        cell = record.get(self.name)
        value: float = cell if type(cell) is float and self.part is None else _read_number(cell, self.kind, self.part)
        if value != value:
            return 0.0, 0.0, 1.0
        normalized = (value - self.mean) / self.deviation
        return min(max(normalized, -MAX_NORMALIZED), MAX_NORMALIZED), self._quantile(value), 0.0

    def _quantile(self, value: float) -> float:
        """Return what `numpy.interp` returns, by the same operations."""
        knots, quantiles = self.knots, self.quantiles
        after = bisect_right(knots, value)
        if after == 0:
            return quantiles[0]
        if after == len(knots) or knots[after - 1] == value:
            return quantiles[after - 1]
        slope = (quantiles[after] - quantiles[after - 1]) / (knots[after] - knots[after - 1])
        return slope * (value - knots[after - 1]) + quantiles[after - 1]


def read_numbers(records: Sequence[Mapping[str, Any]], numbers: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the numbers of records, float64 [B, N], NaN where missing."""
    values = np.full((len(records), len(numbers)), np.nan)
    for index, number in enumerate(numbers):
        name, kind, part = number["name"], number["kind"], number["part"]
        values[:, index] = [_read_number(record.get(name), kind, part) for record in records]
    return values


def _read_number(cell: Any, kind: ColumnKind, part: str | None) -> float:
    value: CellValue = to_value(cell)
    if part is None:
        number = to_number(value, kind)
        return np.nan if number is None else number
    moment = to_date(value, kind)
    if moment is None:
        return np.nan
    match part:
        case "days":
            return days_since_epoch(moment)
        case "day_of_year":
            return float(moment.timetuple().tm_yday)
        case "weekday":
            return float(moment.weekday())
        case _:
            return moment.hour + moment.minute / 60


def _encode_number(values_B: np.ndarray, number: Mapping[str, Any]) -> np.ndarray:
    """Encode one number to float32 [B, 3]."""
    is_missing = np.isnan(values_B)
    present_B = np.where(is_missing, number["mean"], values_B)
    normalized = np.clip((present_B - number["mean"]) / number["deviation"], -MAX_NORMALIZED, MAX_NORMALIZED)
    knots = np.array(number["knots"])
    quantiles = np.interp(present_B, knots, np.linspace(0, 1, len(knots)))
    encoded = np.stack([normalized, np.where(is_missing, 0, quantiles), is_missing], axis=1)
    return encoded.astype(np.float32)
