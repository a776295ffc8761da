"""Deduplication: reports equal rows, and removes those that are also in a held-out split.

N rows; `codes` int32 [N] into the class names, `splits` int8 [N] into `SPLITS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.data.dataset import TEST, TRAIN, VALIDATION
from ml.data.importing.splits import DROPPED, HASH_MULTIPLIER, hash_rows, row_keys
from ml.data.importing.staging import LABEL
from ml.data.issues import FlaggedRow

if TYPE_CHECKING:
    from ml.data.importing.staging import Staging
    from ml.data.issues import IssueLog


def resolve_duplicates(staging: Staging, codes: np.ndarray, splits: np.ndarray, issues: IssueLog) -> np.ndarray:
    """Report equal rows, and return `splits` without copies across splits.

    A row that is also in a split for evaluation is `DROPPED` from the split that a model learns from. Equal rows
    within one split remain.
    """
    if not staging.column_types[staging.key_column].is_identifying:
        return splits
    keys = row_keys(staging)
    _report_conflicts(staging, keys, codes, issues)
    resolved = splits.copy()
    for split, protected_splits in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        is_protected = np.isin(splits, protected_splits)
        copies = np.flatnonzero((splits == split) & np.isin(keys, keys[is_protected]))
        resolved[copies] = DROPPED
        originals = np.flatnonzero(is_protected)
        _report_copies(staging, issues, "duplicate_across_splits", copies, originals, keys, rows=1)
    # Rows that share only their key are no duplicates: one image may have two captions, and one prompt two answers.
    row_hashes = hash_rows(staging, keys) * HASH_MULTIPLIER + codes.astype(np.uint64)
    for split in (TRAIN, VALIDATION, TEST):
        rows = np.flatnonzero(resolved == split)
        _, firsts = np.unique(row_hashes[rows], return_index=True)
        copies = np.delete(rows, firsts)
        _report_copies(staging, issues, "duplicate_rows", copies, rows[firsts], row_hashes, rows=0)
    return resolved


def _report_copies(
    staging: Staging,
    issues: IssueLog,
    code: str,
    copies: np.ndarray,
    originals: np.ndarray,
    keys: np.ndarray,
    *,
    rows: int,
) -> None:
    noun = "row" if staging.missing else staging.column_types[staging.key_column].noun
    if not rows:
        first_of = dict(zip(keys[originals].tolist(), originals.tolist(), strict=True))
        issues.flag(code, (FlaggedRow(row=row, twin=first_of[int(keys[row])]) for row in copies.tolist()))
    for index in copies[: issues.max_samples]:
        original = originals[np.flatnonzero(keys[originals] == keys[index])[0]]
        location = staging.locate(int(original))
        where = location.file if location.row is None else f"{location.file}, row {location.row}"
        issues.add(code, at=staging.locate(int(index)), actual=f"the same {noun} as {where}", rows=rows)
    issues.add_more(code, len(copies) - issues.max_samples, rows=rows)


def _report_conflicts(staging: Staging, keys: np.ndarray, codes: np.ndarray, issues: IssueLog) -> None:
    """Report rows with equal keys and different labels."""
    labeled = np.flatnonzero(codes >= 0)
    pairs = np.unique(np.stack([keys[labeled], codes[labeled].astype(np.uint64)]), axis=1)
    conflicting = pairs[0][1:][pairs[0][1:] == pairs[0][:-1]]
    rows = np.flatnonzero(np.isin(keys, conflicting))
    names = {code: name for name, code in staging.label_codes.items()}
    issues.flag("conflicting_labels", (FlaggedRow(row=row) for row in rows.tolist()))
    for row in rows[: issues.max_samples]:
        label = names.get(int(staging.codes[row]))
        issues.add("conflicting_labels", at=staging.locate(int(row), LABEL), actual=label)
    issues.add_more("conflicting_labels", len(rows) - issues.max_samples)
