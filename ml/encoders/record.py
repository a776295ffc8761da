"""Record encoder: numbers normalized and as quantiles, categories as codes.

B batch, N numbers, C categorical columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.cell_values import DATE_FORMS, CellValue, ColumnKind, to_category
from ml.encoders.base import Column, Encoder
from ml.errors import DataError
from ml.preprocessing.record_encoding import (
    DATE_PARTS,
    FIRST_CATEGORY,
    MISSING,
    UNKNOWN,
    VALUES_PER_NUMBER,
    RecordEncoding,
    read_numbers,
)
from ml.signals import Signal

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary

#: Quantiles of a number that are stored; between two of them, ranks are interpolated.
KNOTS: Final = 65
#: Bins of a number in which the network is linear, by default: from 2 to 16, with at least 32 training rows in each.
MIN_BINS: Final = 2
MAX_BINS: Final = 16
MIN_ROWS_PER_BIN: Final = 32
#: Limit of the categories of a column; rarer ones are read like unknown ones.
MAX_CATEGORIES: Final = 1000


class NumberColumn(Config):
    """A number that is read from a column, with its statistics over the training rows."""

    name: str = Field(description="Column of the record.")
    kind: ColumnKind
    part: str | None = Field(None, description="Part of a date; null for a number.")
    mean: float
    deviation: float = Field(gt=0)
    knots: tuple[float, ...] = Field(min_length=1, description="Quantiles from the smallest to the largest value.")


class CategoryColumn(Config):
    """A column of categories; the first one has code 2, after unknown and missing."""

    name: str = Field(description="Column of the record.")
    names: tuple[str, ...] = Field(description="Categories of the training rows, the most frequent first.")


class RecordConfig(Config):
    """Columns that are read, with their statistics over the training rows."""

    kinds: dict[str, ColumnKind] = Field(
        default_factory=dict, description="Kinds of columns, where the detected one is not right; `omitted`: not read."
    )
    detected_kinds: dict[str, ColumnKind] = Field(
        default_factory=dict, description="Kinds that the import detected, by column."
    )
    max_categories: int = Field(
        MAX_CATEGORIES, ge=2, le=65_536, description="Categories of a column that have a code, the most frequent ones."
    )
    bins: int = Field(
        ge=1,
        le=256,
        description="Bins between quantiles of a number, in which its embedding is linear; by default by rows.",
    )
    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]


class RecordEncoder(Encoder[Mapping[str, CellValue]]):
    """Encodes records.

    A missing value has a mark of its own, and an unknown category a code of its own.
    """

    name = "record"
    signal = Signal.RECORD
    config_type = RecordConfig

    def __init__(self, config: RecordConfig) -> None:
        super().__init__(config)
        self._encoding = RecordEncoding(config.model_dump(mode="json"))

    @classmethod
    def learn(cls, values: Sequence[Mapping[str, CellValue]], options: Mapping[str, Any]) -> Self:
        """Take statistics of numbers, and categories, from the training rows.

        Raises `DataError` if no column is left to learn from.
        """
        records = list(values)
        names = dict.fromkeys(name for record in records for name in record)
        detected = options.get("detected_kinds") or _guess_kinds(records)
        kinds = {**detected, **options.get("kinds", {})}
        if absent := [name for name in options.get("kinds", {}) if name not in names]:
            message = f"the training rows have no values in a column {absent[0]!r}; columns: {', '.join(names)}"
            raise DataError(message, hint="Correct the name in encoders.features.kinds, or leave it out.")
        numbers = [number for name, kind in kinds.items() for number in _learn_numbers(records, name, kind)]
        limit = options.get("max_categories", MAX_CATEGORIES)
        categories = [_learn_categories(records, name, limit) for name, kind in kinds.items() if kind == "category"]
        if not numbers and not categories:
            message = "no column of the training rows has values to learn from"
            raise DataError(message, hint='Name the kinds of columns: encoders {"features": {"kinds": {...}}}.')
        bins = max(MIN_BINS, min(MAX_BINS, len(records) // MIN_ROWS_PER_BIN))
        learned = {"bins": bins, **options, "numbers": numbers, "categories": categories}
        return cls(RecordConfig.model_validate(learned))

    @classmethod
    def data_loss(cls, config: RecordConfig, summary: DatasetSummary) -> str | None:
        """Return which columns that are read the dataset lacks; None if it has all."""
        columns = summary.facts_of("record").get("columns", {})
        names = [*(number.name for number in config.numbers), *(column.name for column in config.categories)]
        read = dict.fromkeys(names)
        absent = [name for name in read if name not in columns]
        if not columns or not absent:
            return None
        return f"reads the columns {', '.join(read)}; the dataset has no {', '.join(absent)}"

    @cached_property
    def kinds(self) -> dict[str, ColumnKind]:
        """Kinds of the columns that are read, in the order of the table."""
        read: dict[str, ColumnKind] = {number.name: number.kind for number in self.config.numbers}
        read |= dict.fromkeys((column.name for column in self.config.categories), "category")
        order = {**self.config.detected_kinds, **self.config.kinds}
        return {name: read[name] for name in (*order, *read) if name in read}

    @cached_property
    def omitted(self) -> frozenset[str]:
        """Columns of the training data that are not read, such as constant ones."""
        return frozenset({**self.config.detected_kinds, **self.config.kinds}.keys() - self.kinds.keys())

    def example(self) -> dict[str, CellValue]:
        """Return a record of means and of the most frequent categories."""
        values: dict[str, CellValue] = {}
        for number in self.config.numbers:
            if number.part is None:
                values[number.name] = float(f"{number.mean:.4g}")
        values |= {column.name: column.names[0] for column in self.config.categories if column.names}
        return {name: values[name] for name in self.kinds if name in values}

    def encode(self, values: Sequence[Mapping[str, CellValue]]) -> np.ndarray:
        """Encode to float32 [B, 3 N + C]."""
        encoded = self._encoding.encode(values)
        if self.config.categories:
            self.count_loss("with a category that is not in the training data", int(self._is_unknown(encoded).sum()))
        return encoded

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """Return the rows as `signal`, float32 [B, 3 N + C]."""
        return {"signal": np.asarray(column, dtype=np.float32)}

    def shape(self) -> dict[str, int]:
        """Return `numbers`: N, `quantile_bins`, `categorical`: C, and `categories`, the codes of all columns."""
        categories = sum(FIRST_CATEGORY + len(column.names) for column in self.config.categories)
        return {
            "numbers": len(self.config.numbers),
            "quantile_bins": self.config.bins,
            "categorical": len(self.config.categories),
            "categories": categories,
        }

    def hide(self, encoded: np.ndarray, is_hidden: np.ndarray) -> np.ndarray:
        """Return a copy whose hidden numbers are missing, and categories in turn unknown and missing.

        `is_hidden` is bool [B, N + C].
        """
        count = len(self.config.numbers)
        result = encoded.copy()
        numbers = result[:, : VALUES_PER_NUMBER * count].reshape(len(result), count, VALUES_PER_NUMBER)
        numbers[is_hidden[:, :count]] = (0, 0, 1)
        codes = result[:, VALUES_PER_NUMBER * count :]
        replacement = np.where(np.arange(len(result)) % 2 == 0, UNKNOWN, MISSING)[:, None]
        codes[:] = np.where(is_hidden[:, count:], self.offsets + replacement, codes)
        return result

    def to_table(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return normalized numbers and codes, the input of other models.

        Numbers are float32 [B, N], NaN where missing; codes are int64 [B, C], from 0 in each column.
        """
        count = VALUES_PER_NUMBER * len(self.config.numbers)
        numbers = np.where(encoded[:, 2:count:3] > 0, np.nan, encoded[:, 0:count:3])
        return numbers, encoded[:, count:].astype(np.int64) - self.offsets

    @property
    def offsets(self) -> np.ndarray:
        """Code of the first code of each categorical column, int64 [C]."""
        sizes = [FIRST_CATEGORY + len(column.names) for column in self.config.categories]
        return np.cumsum([0, *sizes], dtype=np.int64)[:-1]

    def _is_unknown(self, encoded: np.ndarray) -> np.ndarray:
        codes = encoded[:, VALUES_PER_NUMBER * len(self.config.numbers) :]
        return np.asarray((codes == self.offsets + UNKNOWN).any(axis=1))


def detected_kinds(summary: DatasetSummary) -> dict[str, ColumnKind]:
    """Return the kinds of columns that the import of a dataset detected."""
    columns = summary.facts_of("record").get("columns", {})
    return {name: column["kind"] for name, column in columns.items()}


def _guess_kinds(records: Sequence[Mapping[str, CellValue]]) -> dict[str, ColumnKind]:
    """Return the kinds of columns for rows that no import has judged: texts are categories."""
    kinds: dict[str, ColumnKind] = {}
    for record in records:
        for name, value in record.items():
            is_text = isinstance(value, str) or kinds.get(name) == "category"
            kinds[name] = "category" if is_text else "number"
    return kinds


def _learn_numbers(records: Sequence[Mapping[str, CellValue]], name: str, kind: ColumnKind) -> list[NumberColumn]:
    """Return the numbers of a column: for a date, one for each part that varies."""
    if kind in ("category", "omitted"):
        return []
    parts: tuple[str | None, ...] = DATE_PARTS if kind in DATE_FORMS else (None,)
    columns = [{"name": name, "kind": kind, "part": part} for part in parts]
    values = read_numbers(records, columns)
    numbers = []
    for index, column in enumerate(columns):
        present = values[~np.isnan(values[:, index]), index]
        if len(present) and present.min() < present.max():
            knots = np.unique(np.quantile(present, np.linspace(0, 1, KNOTS)))
            statistics = {"mean": float(present.mean()), "deviation": float(present.std()), "knots": knots.tolist()}
            numbers.append(NumberColumn.model_validate({**column, **statistics}))
    return numbers


def _learn_categories(records: Sequence[Mapping[str, CellValue]], name: str, limit: int) -> CategoryColumn:
    counts = Counter(category for record in records if (category := to_category(record.get(name))) is not None)
    names = sorted(counts, key=lambda category: (-counts[category], category))[:limit]
    return CategoryColumn(name=name, names=tuple(names))
