"""Near duplicates: reports rows that resemble a row of another split or an earlier row."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.cross_checks._picked_rows import space_evenly
from ml.data.cross_checks.base import CrossCheck
from ml.data.dataset import SPLITS, TRAIN
from ml.data.issues import FlaggedRow
from ml.data.similarity.twins import NO_TWIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.cross_checks.base import StagedRows
    from ml.data.similarity.twins import Twins

#: Column whose values repeat what precedes them: the turns of a conversation.
_PROMPT: Final = "prompt"


class NearDuplicateCheck(CrossCheck):
    """Compares the key column of all rows, or of `max_rows` of them."""

    columns: ClassVar[Mapping[str, str]] = {}
    #: Column type of the key column.
    key_type: ClassVar[str]
    max_rows: ClassVar[int]
    #: Least similarity of two rows to be reported.
    min_similarity: ClassVar[float]

    @classmethod
    def applies_to(cls, type_names: Mapping[str, str]) -> bool:
        """Return whether the key column has the type of this check."""
        return next(iter(type_names.values()), None) == cls.key_type

    @abstractmethod
    def find(self, staged: StagedRows, rows: np.ndarray, splits: np.ndarray) -> Twins:
        """Return the twins among `rows`, ascending int64 [n], by positions in `rows`."""

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report near duplicates across splits and within them."""
        rows = select_rows(splits, self.max_rows)
        total = int((splits >= 0).sum())
        if len(rows) < 2:
            return
        if len(rows) < total:
            self.issues.add("near_duplicates_partly_compared", actual=f"{len(rows):,} of {total:,} rows")
        twins = self.find(staged, rows, splits[rows])
        hashes = np.ascontiguousarray(staged.hashes).view(np.uint64)
        within = twins.within.copy()
        pairs = np.flatnonzero(within != NO_TWIN)
        is_copy = (hashes[rows[pairs]] == hashes[rows[within[pairs]]]).all(axis=1)
        within[pairs[is_copy]] = NO_TWIN  # equal rows are reported as such
        within[twins.across != NO_TWIN] = NO_TWIN
        self._report("near_duplicates_across_splits", twins.across, twins, rows, splits, staged)
        if staged.key_column != _PROMPT:
            self._report("near_duplicate_rows", within, twins, rows, splits, staged)

    def _report(
        self, code: str, twin_of: np.ndarray, twins: Twins, rows: np.ndarray, splits: np.ndarray, staged: StagedRows
    ) -> None:
        places = np.flatnonzero(twin_of != NO_TWIN)
        flags = [
            FlaggedRow(row=row, twin=twin)
            for row, twin in zip(rows[places].tolist(), rows[twin_of[places]].tolist(), strict=True)
        ]
        twin_rows = {flag.row: flag.twin for flag in flags}
        similarity = dict(zip(twin_rows, twins.similarity[places].tolist(), strict=True))

        def describe(row: int) -> tuple[str, str]:
            twin = twin_rows[row]
            assert twin is not None, "flagged rows have twins"
            at = staged.locate(twin)
            where = at.file if at.row is None else f"{at.file}, row {at.row}"
            return f"{similarity[row]:.1%} like {where} in {SPLITS[splits[twin]]}", f"a different {self.key_type}"

        column = staged.key_column
        self.report(code, [flag.row for flag in flags], staged, describe, column=column, flagged_rows=flags)


def select_rows(splits: np.ndarray, max_rows: int) -> np.ndarray:
    """Return the rows to compare, ascending int64 [n].

    They are all rows, or held-out ones and evenly spaced ones of train. Dropped rows, whose split is below 0, are left
    out.
    """
    rows = np.flatnonzero(splits >= 0)
    if len(rows) <= max_rows:
        return rows
    held_out, train = np.flatnonzero(splits > TRAIN), np.flatnonzero(splits == TRAIN)
    held_out = space_evenly(held_out, max(max_rows // 2, max_rows - len(train)))
    return np.sort(np.concatenate([held_out, space_evenly(train, max_rows - len(held_out))]))
