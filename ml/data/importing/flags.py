"""Positions of flagged rows in the dataset that an import writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.data.dataset import SPLITS
from ml.data.flagged_rows import RowPosition, StoredFlag

if TYPE_CHECKING:
    from ml.data.importing.staging import Staging
    from ml.data.issues import FlaggedRow, IssueLog


def locate_flagged_rows(issues: IssueLog, staging: Staging, splits: np.ndarray) -> dict[str, list[StoredFlag]]:
    """Return the flagged rows by issue code, and add their positions to the samples.

    Rows that the dataset leaves out are not listed. `splits`: int8 [N] into `SPLITS`, below 0 for a dropped row.
    """
    indices = np.zeros(len(splits), dtype=np.int64)
    for split_code in range(len(SPLITS)):
        members = np.flatnonzero(splits == split_code)
        indices[members] = np.arange(len(members))

    def position_of(row: int | None) -> RowPosition | None:
        if row is None or splits[row] < 0:
            return None
        return RowPosition(split=SPLITS[splits[row]], index=int(indices[row]))

    def to_stored(flag: FlaggedRow) -> StoredFlag | None:
        position, location = position_of(flag.row), staging.locate(flag.row)
        if position is None:
            return None
        return StoredFlag(
            split=position.split,
            index=position.index,
            file=location.file,
            row=location.row,
            twin=position_of(flag.twin),
            given_label=flag.given_label,
            label=flag.label,
            probability=flag.probability,
        )

    flagged_rows = {code: [to_stored(flag) for flag in flags] for code, flags in issues.flagged_rows.items()}
    for code, rows in flagged_rows.items():
        issues.add_positions(code, [row.model_dump(exclude_none=True) if row else {} for row in rows])
    stored = {code: [row for row in rows if row is not None] for code, rows in flagged_rows.items()}
    return {code: rows for code, rows in stored.items() if rows}
