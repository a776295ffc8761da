"""Staged batches, of which only some say what their rows belong to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.formats.base import Batch
from ml.data.importing.splits import group_rows
from ml.data.importing.staging import Staging
from ml.data.issues import IssueLog
from ml.data.limits import Limits
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS: Final = 4


def stage(*groups: Sequence[int] | None) -> Staging:
    """Stage a batch of texts for each of `groups`; its second row is invalid."""
    issues = IssueLog(max_samples=1)
    staging = Staging(io.BytesIO(), type_names={"text": "text"}, issues=issues, limits=Limits())
    for number, values in enumerate(groups):
        texts = [f"text {number} {row}" if row != 1 else "" for row in range(ROWS)]
        staging.add(Batch({"text": texts}, Locations(f"{number}.csv", range(1, 1 + ROWS)), None, groups=values))
    return staging


def test_rows_without_a_group_are_alone_beside_rows_with_groups() -> None:
    staging = stage(None, [7, 7, 7, 8], None, [7, 8, 8, 8])
    assert staging.groups is not None
    assert len(staging.groups) == len(staging) == 4 * (ROWS - 1)
    _, firsts = np.unique(group_rows(staging), return_index=True)
    assert sorted(firsts.tolist()) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10], "rows 3 and 4 are a group, and so are 10 and 11"


def test_an_upload_without_groups_has_none() -> None:
    assert stage(None, None).groups is None
