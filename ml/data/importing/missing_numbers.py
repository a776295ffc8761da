"""Rows whose number to predict stands for a missing one, such as -999."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from ml.data.column_types.number import NUMBER_FORMAT, NumberType

if TYPE_CHECKING:
    from ml.data.importing.staging import Staging
    from ml.data.issues import IssueLog


def find_missing_numbers(staging: Staging, issues: IssueLog) -> np.ndarray:
    """Report numbers that stand for a missing one.

    Returns a mask of their rows, bool [N].
    """
    mask = np.zeros(len(staging), dtype=bool)
    for column, column_type in staging.column_types.items():
        if not isinstance(column_type, NumberType):
            continue
        if (mark := column_type.leave_out_mark()) is not None:
            mask |= _is_equal(staging, column, mark.number)
            at = staging.locate(int(np.flatnonzero(mask)[0]), column)
            issues.add("number_means_none", at=at, actual=f"{mark.number:g}", count=mark.rows)
        if (doubtful := column_type.find_doubtful_mark()) is not None:
            first = int(np.flatnonzero(_is_equal(staging, column, doubtful.number))[0])
            actual = f"{doubtful.number:g}: {doubtful.rows:,} rows"
            issues.add("number_may_mean_none", at=staging.locate(first, column), actual=actual)
    return mask


def _is_equal(staging: Staging, column: str, number: float) -> np.ndarray:
    stored = struct.pack(NUMBER_FORMAT, number)
    return np.array([value == stored for value in staging.values_of(column)], dtype=bool)
