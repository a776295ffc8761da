"""The version of a dataset that new rows are appended to.

Its rows are read as they are stored, so that operations on them remain and its uploads are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ml.data.dataset import SPLITS, Dataset
from ml.data.derivation.selection import DatasetPart, Selection
from ml.data.derivation.stored_rows import read_batches
from ml.data.importing.staging import LABEL, columns_differ

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ml.data.dataset import DatasetSummary
    from ml.data.formats.base import Batch


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A stored dataset, and its name in reports, such as `reviews@1`."""

    dataset: Dataset
    name: str

    @classmethod
    def open(cls, directory: Path, name: str) -> Self:
        """Open the dataset in a folder; raises `DataError` if it is damaged."""
        return cls(Dataset.open(directory), name)

    @property
    def summary(self) -> DatasetSummary:
        """Summary of the stored dataset."""
        return self.dataset.summary

    @property
    def type_names(self) -> Mapping[str, str]:
        """Canonical column -> name of its column type, without the label."""
        return {column: type_name for column, type_name in self.summary.columns.items() if type_name != LABEL}

    @property
    def held_out_fractions(self) -> tuple[float, float, float]:
        """Fractions of train, validation and test, by which new rows without a split are split.

        They are those of the stored rows, but nothing is added to a split that the data has named.
        """
        rows, total = self.summary.splits, sum(self.summary.splits.values())
        random_splits = SPLITS[1:] if self.summary.random_splits is None else self.summary.random_splits
        validation, test = (rows.get(split, 0) / total if split in random_splits else 0.0 for split in SPLITS[1:])
        return 1 - validation - test, validation, test

    def read(self) -> Iterator[Batch]:
        """Yield all rows, as a format does."""
        yield from read_batches(Selection.of(DatasetPart(self.dataset, self.name)))

    def check(self, batches: Iterable[Batch], type_names: Mapping[str, str]) -> Iterator[Batch]:
        """Yield new rows; raises `DataRejected` if their columns are not those of the stored ones.

        `type_names`: canonical column -> column type of the format of the new rows.
        """
        expected = dict(self.summary.columns)
        for batch in batches:
            present = {column: LABEL if column == LABEL else type_names.get(column, "") for column in batch.columns}
            if present != expected:
                at = batch.locations.at(0)
                if present.keys() != expected.keys():
                    raise columns_differ(present, expected, at)
                raise columns_differ(_describe_types(present), _describe_types(expected), at)
            yield batch


def _describe_types(columns: Mapping[str, str]) -> list[str]:
    return [f"{column} ({type_name})" for column, type_name in columns.items()]
