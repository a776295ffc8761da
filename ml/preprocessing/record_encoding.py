"""Records as numbers: normalized numbers, parts of dates, codes of categories.

Exported ONNX folders run a copy of this file.

B batch, N numbers, C categorical columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
#: Parts of a date, each a number of its own.
DATE_PARTS: Final = ("days", "day_of_year", "weekday", "hour")


def encode_records(records: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> np.ndarray:
    """Encode records to float32 [B, 3 N + C]; `config` is JSON of the encoder.

    The first 3 N values are, for each number, its distance from the mean in standard deviations, its quantile from 0 to
    1, and 1 if it is missing (then the others are 0). The last C are codes of categories, counted over all columns.
    """
    numbers = config["numbers"]
    values_BN = read_numbers(records, numbers)
    parts = [_encode_number(values_BN[:, index], number) for index, number in enumerate(numbers)]
    codes = np.zeros((len(records), len(config["categories"])), dtype=np.float32)
    offset = 0
    for index, column in enumerate(config["categories"]):
        code_of = {name: code for code, name in enumerate(column["names"], start=FIRST_CATEGORY)}
        categories = (to_category(record.get(column["name"])) for record in records)
        codes[:, index] = [offset + (MISSING if name is None else code_of.get(name, UNKNOWN)) for name in categories]
        offset += FIRST_CATEGORY + len(column["names"])
    return np.concatenate([*parts, codes], axis=1)


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
