"""Slices: the first metric on rows of one class, length, size or value.

Values are also those of columns that no model reads. n rows of a slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.rows import ImageArray
from ml.evaluation.sections.base import Section

if TYPE_CHECKING:
    from ml.evaluation.evaluated_rows import EvaluatedRows
    from ml.metrics.base import Evaluation

#: Fewer rows say nothing.
MIN_ROWS: Final = 5
#: Slices of one column: the most frequent values.
MAX_SLICES: Final = 20
#: Columns of a record that are sliced, in their order.
MAX_FIELDS: Final = 40
#: Ranges of a number hold a quarter of the rows each.
QUANTILES: Final = (0.25, 0.5, 0.75)

#: Column type -> name of the number that is sliced, and how it is computed from a value.
_MEASURES: Final[Mapping[str, tuple[str, Callable[[Any], float]]]] = {
    "audio": ("seconds", lambda clip: round(float(clip.seconds), 3)),
    "image": ("pixels", lambda pixels: float(pixels.shape[0] * pixels.shape[1])),
    "items": ("items", len),
    "number": ("value", float),
    "objects": ("objects", len),
    "text": ("characters", len),
}


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows whose value of a column is one value, or lies in a range."""

    column: str
    #: What the value is: the class, or a length, size or number.
    measure: str
    #: The value, or the range.
    value: str
    rows: np.ndarray


class SlicesSection(Section):
    """The first metric on parts of the rows, the worst first."""

    name = "slices"
    summary = "The first metric on rows of one class, length, size or value of a column, the worst first"

    def measure(self, evaluated: EvaluatedRows) -> list[dict[str, Any]] | None:
        """Return the slices, or None.

        There are none where a row has several outputs, or rows are compared with each other.
        """
        if not evaluated.has_one_output_per_row or not len(evaluated.rows):
            return None
        metric = next(iter(evaluated.evaluation.metrics))
        sign = 1 if evaluated.task.metrics[metric].higher_is_better else -1
        sections = [_describe(part, metric, sign, evaluated) for part in _all_slices(evaluated)]
        return sorted(sections, key=lambda section: sign * section["metric_value"])


def _describe(part: _Slice, metric: str, sign: int, evaluated: EvaluatedRows) -> dict[str, Any]:
    evaluation = evaluated.evaluate(part.rows)
    interval = evaluation.intervals.get(metric)
    section = {
        "column": part.column,
        "measure": part.measure,
        "value": part.value,
        "rows": len(part.rows),
        "metric": metric,
        "metric_value": evaluation.metrics[metric],
    }
    if interval is not None:
        section |= {"interval": list(interval), "is_worse": _is_worse(evaluated.evaluation, interval, metric, sign)}
    return section


def _is_worse(whole: Evaluation, interval: tuple[float, float], metric: str, sign: int) -> bool:
    """Return whether all rows together have a better value than any in the interval."""
    best = interval[1] if sign > 0 else interval[0]
    return sign * best < sign * whole.metrics[metric]


def _all_slices(evaluated: EvaluatedRows) -> Iterator[_Slice]:
    for column, column_type in evaluated.summary.columns.items():
        values = evaluated.rows.columns[column]
        if column_type == "label":
            yield from _by_value(column, "class", list(values))
        elif column_type == "record":
            yield from _record_slices(values)
        elif column_type in _MEASURES and not isinstance(values, ImageArray):
            name, measure = _MEASURES[column_type]
            yield from _by_range(column, name, [None if value is None else measure(value) for value in values])
    for name, cells in evaluated.unread_cells.items():
        yield from _cell_slices(name, cells)


def _cell_slices(column: str, cells: Sequence[str | None]) -> Iterator[_Slice]:
    """Slice by a column that nothing is learned from.

    Many different numbers are divided into ranges.
    """
    numbers = [None if cell is None else _to_number(cell) for cell in cells]
    is_numeric = all(cell is None or number is not None for cell, number in zip(cells, numbers, strict=True))
    if is_numeric and len(set(cells)) > MAX_SLICES:
        yield from _by_range(column, "value", numbers)
    else:
        yield from _by_value(column, "value", ["missing" if cell is None else cell for cell in cells])


def _to_number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _record_slices(records: Sequence[Mapping[str, Any]]) -> Iterator[_Slice]:
    """Slice by the values of each column of a table."""
    rows = [record or {} for record in records]
    for name in list(dict.fromkeys(name for row in rows for name in row))[:MAX_FIELDS]:
        values = [row.get(name) for row in rows]
        present = [value for value in values if value is not None]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
            yield from _by_range(name, "value", values)
        else:
            yield from _by_value(name, "value", ["missing" if value is None else str(value) for value in values])


def _by_value(column: str, measure: str, values: Sequence[str]) -> Iterator[_Slice]:
    counts = [(value, count) for value, count in Counter(values).most_common(MAX_SLICES) if count >= MIN_ROWS]
    if len(set(values)) < 2:
        return
    array = np.array(values, dtype=object)
    for value, _ in counts:
        yield _Slice(column, measure, value, np.flatnonzero(array == value))


def _by_range(column: str, measure: str, values: Iterable[float | None]) -> Iterator[_Slice]:
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    if len(np.unique(present)) < 2:
        return
    edges = np.unique([present.min(), *np.quantile(present, QUANTILES, method="nearest"), present.max()])
    masks = {"missing": np.isnan(numbers)}
    for low, high in pairwise(edges.tolist()):
        is_first = low == edges[0]
        inside = (numbers >= low if is_first else numbers > low) & (numbers <= high)
        masks[f"{low:g} to {high:g}" if is_first else f"above {low:g} to {high:g}"] = inside
    for value, mask in masks.items():
        if mask.sum() >= MIN_ROWS:
            yield _Slice(column, measure, value, np.flatnonzero(mask))
